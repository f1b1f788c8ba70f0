/* SPDX-License-Identifier: Apache-2.0 */
#include "@{id}_model.h"
@{data_declaration}
const elir_model @{variable} = {
    .name = @{name_literal},
    .data = @{data},
    .bytes = @{symbol}_MODEL_BYTES,
    .crc32 = 0x@{crc32}u,
    .width = @{symbol}_WIDTH,
    .height = @{symbol}_HEIGHT,
    .steps = @{symbol}_STEPS,
    .input =
        {
            .name = @{input_name},
            .type = @{input_type},
            .shape = {@{input_shape}},
            .scale = @{input_scale},
            .zero_point = @{input_zero_point},
        },
    .output =
        {
            .name = @{output_name},
            .type = @{output_type},
            .shape = {@{output_shape}},
            .scale = @{output_scale},
            .zero_point = @{output_zero_point},
        },
@{latent}};
