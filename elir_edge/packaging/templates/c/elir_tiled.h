/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of any size: cut into overlapping tiles of the model's size, whose restored values fade into each other. */
#ifndef ELIR_TILED_H
#define ELIR_TILED_H

#include "elir_restorer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The longest side of a frame, in pixels. */
#define ELIR_TILED_MAX_SIDE 32768

/* Bytes of working memory that elir_restore_tiled needs for frames of a size; 0 where no frame has that size. */
size_t elir_tiled_bytes(const elir_model *model, int32_t width, int32_t height);

/*
 * Restores one frame of any size up to ELIR_TILED_MAX_SIDE. Frames smaller than the model's are continued by their
 * reflection. The time is that of as many calls of elir_restore as there are tiles.
 *
 *   image, restored, strides   as for elir_restore; they may be the same memory, with the same stride, or lie apart
 *   workspace                  elir_tiled_bytes of memory, aligned for float, as from malloc; nothing is allocated
 *
 * Gives ELIR_ERROR_SIZE, ELIR_ERROR_MEMORY where the workspace is too small, ELIR_ERROR_ARGUMENT, _RUNTIME, _VALUES.
 */
elir_status elir_restore_tiled(elir_restorer *restorer, int32_t width, int32_t height, const uint8_t *image,
                               size_t image_stride, uint8_t *restored, size_t restored_stride, void *workspace,
                               size_t workspace_bytes);

#ifdef __cplusplus
}
#endif

#endif
