/* SPDX-License-Identifier: Apache-2.0 */
#include "elir_restorer.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elir_litert.h"

#define CHANNELS 3
#define FULL_SCALE 255.0f
#define READ_BYTES 4096
#define THREADS_TEXT_BYTES 32
#define EXPONENT_BITS 0x7f800000u /* of a float: all are set in infinities and NaN */

/* The graphs of a model: one, or those of a split model, of which the step's runs as often as there are steps. */
enum graph { WHOLE = 0, ENCODER = 0, STEP = 1, DECODER = 2 };

/* The inputs, or the outputs, of a graph. */
typedef struct side {
    LiteRtStatus (*find)(LiteRtSignature, const char *, LiteRtTensor *);
    LiteRtStatus (*require)(LiteRtCompiledModel, size_t, size_t, LiteRtTensorBufferRequirements *);
} side;

struct elir_restorer {
    const elir_model *model;
    int32_t steps;
    LiteRtEnvironment environment;
    LiteRtModel graph;
    LiteRtCompiledModel compiled;
    LiteRtTensorBuffer input;
    LiteRtTensorBuffer output;
    LiteRtTensorBuffer place;     /* of a step among those of all numbers of steps: it has the step's time and length */
    LiteRtTensorBuffer latents[2]; /* each step reads one and writes the other */
};

static bool is_split(const elir_model *model)
{
    return model->latent.name != NULL;
}

static elir_status of_litert(LiteRtStatus status)
{
    if (status == ELIR_LITERT_OK) {
        return ELIR_OK;
    }
    return status == ELIR_LITERT_NO_MEMORY ? ELIR_ERROR_MEMORY : ELIR_ERROR_RUNTIME;
}

/* Continues a CRC-32 that began as 0, four bits at a time: fast enough for a file, and the table stays small. */
static uint32_t crc32_of(uint32_t crc, const unsigned char *data, size_t bytes)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
        0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu,
    };
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return ~crc;
}

static elir_status check_file(const elir_model *model, const char *path)
{
    unsigned char chunk[READ_BYTES];
    uint32_t crc = 0;
    size_t bytes = 0, got;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return ELIR_ERROR_FILE;
    }
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0) {
        crc = crc32_of(crc, chunk, got);
        bytes += got;
    }
    const bool failed = ferror(file) != 0;
    (void)fclose(file);
    if (failed) {
        return ELIR_ERROR_FILE;
    }
    return bytes == model->bytes && crc == model->crc32 ? ELIR_OK : ELIR_ERROR_MODEL;
}

static elir_status check_content(const elir_model *model, const char *path)
{
    if (path != NULL) {
        return check_file(model, path);
    }
    return crc32_of(0, model->data, model->bytes) == model->crc32 ? ELIR_OK : ELIR_ERROR_MODEL;
}

/* Only the CPU is registered: looking for GPU libraries costs time, and they would not be used. */
static elir_status create_environment(elir_restorer *restorer)
{
    const LiteRtEnvOption options[] = {
        {ELIR_LITERT_REGISTER_ACCELERATORS, {ELIR_LITERT_INT_VALUE, {ELIR_LITERT_CPU}}},
        {ELIR_LITERT_MIN_LOG_SEVERITY, {ELIR_LITERT_INT_VALUE, {ELIR_LITERT_LOG_WARNINGS}}},
    };
    const int count = (int)(sizeof options / sizeof options[0]);
    return of_litert(LiteRtCreateEnvironment(count, options, &restorer->environment));
}

static elir_status load(elir_restorer *restorer, const char *path)
{
    const elir_model *model = restorer->model;
    const LiteRtStatus status =
        path != NULL
            ? LiteRtCreateModelFromFile(restorer->environment, path, &restorer->graph)
            : LiteRtCreateModelFromBuffer(restorer->environment, model->data, model->bytes, &restorer->graph);
    if (status != ELIR_LITERT_OK) {
        return status == ELIR_LITERT_NO_MEMORY ? ELIR_ERROR_MEMORY : ELIR_ERROR_MODEL;
    }
    return ELIR_OK;
}

static elir_status add_threads(LiteRtOptions options, int threads)
{
    LiteRtOpaqueOptions cpu = NULL;
    char *text = malloc(THREADS_TEXT_BYTES); /* belongs to the options, which free it */
    if (text == NULL) {
        return ELIR_ERROR_MEMORY;
    }
    (void)snprintf(text, THREADS_TEXT_BYTES, "num_threads = %d\n", threads);
    LiteRtStatus status = LiteRtCreateOpaqueOptions("xnnpack", text, free, &cpu);
    if (status != ELIR_LITERT_OK) {
        free(text);
        return of_litert(status);
    }
    status = LiteRtAddOpaqueOptions(options, cpu);
    if (status != ELIR_LITERT_OK) {
        LiteRtDestroyOpaqueOptions(cpu);
    }
    return of_litert(status);
}

static elir_status compile(elir_restorer *restorer, int threads)
{
    LiteRtOptions options = NULL;
    elir_status status = of_litert(LiteRtCreateOptions(&options));
    if (status != ELIR_OK) {
        return status;
    }
    status = of_litert(LiteRtSetOptionsHardwareAccelerators(options, ELIR_LITERT_CPU));
    if (status == ELIR_OK && threads > 0) {
        status = add_threads(options, threads);
    }
    if (status == ELIR_OK) {
        status = of_litert(
            LiteRtCreateCompiledModel(restorer->environment, restorer->graph, options, &restorer->compiled));
    }
    LiteRtDestroyOptions(options);
    return status;
}

static bool is_of_type(const LiteRtRankedTensorType *type, const elir_tensor *tensor)
{
    bool same = type->element_type == (int32_t)tensor->type;
    uint32_t rank = 0;
    for (; rank < 4 && tensor->shape[rank] != 0; rank++) {
        same = same && type->dimensions[rank] == tensor->shape[rank];
    }
    return same && type->rank == rank;
}

/* The buffer of a tensor, by its index, that a graph's signature calls by its stated name and that has its type. */
static elir_status create_buffer(const elir_restorer *restorer, const side *ports, enum graph graph, size_t index,
                                 const elir_tensor *stated, LiteRtTensorBuffer *buffer)
{
    LiteRtSignature signature = NULL;
    LiteRtTensor tensor = NULL;
    LiteRtRankedTensorType type = {0};
    LiteRtTensorBufferRequirements requirements = NULL;
    if (LiteRtGetModelSignature(restorer->graph, (size_t)graph, &signature) != ELIR_LITERT_OK ||
        ports->find(signature, stated->name, &tensor) != ELIR_LITERT_OK ||
        LiteRtGetRankedTensorType(tensor, &type) != ELIR_LITERT_OK || !is_of_type(&type, stated)) {
        return ELIR_ERROR_MODEL;
    }
    const elir_status status = of_litert(ports->require(restorer->compiled, (size_t)graph, index, &requirements));
    if (status != ELIR_OK) {
        return status;
    }
    return of_litert(
        LiteRtCreateManagedTensorBufferFromRequirements(restorer->environment, &type, requirements, buffer));
}

static elir_status create_buffers(elir_restorer *restorer)
{
    static const elir_tensor place = {.name = "place", .type = ELIR_INT32, .shape = {1}};
    static const side inputs = {LiteRtGetSignatureInputTensor, LiteRtGetCompiledModelInputBufferRequirements};
    static const side outputs = {LiteRtGetSignatureOutputTensor, LiteRtGetCompiledModelOutputBufferRequirements};
    const elir_model *model = restorer->model;
    const enum graph last = is_split(model) ? DECODER : WHOLE;
    elir_status status = create_buffer(restorer, &inputs, WHOLE, 0, &model->input, &restorer->input);
    if (status == ELIR_OK) {
        status = create_buffer(restorer, &outputs, last, 0, &model->output, &restorer->output);
    }
    if (status == ELIR_OK && is_split(model)) {
        status = create_buffer(restorer, &inputs, STEP, 0, &place, &restorer->place);
    }
    if (status == ELIR_OK && is_split(model)) {
        status = create_buffer(restorer, &inputs, STEP, 1, &model->latent, &restorer->latents[0]);
    }
    if (status == ELIR_OK && is_split(model)) {
        status = create_buffer(restorer, &outputs, STEP, 0, &model->latent, &restorer->latents[1]);
    }
    return status;
}

static void put_floats(float *row, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        row[i] = (float)bytes[i] / FULL_SCALE;
    }
}

/* By the bits: with -ffast-math, compilers take isfinite for true whatever the value is. */
static bool is_finite(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return (bits & EXPONENT_BITS) != EXPONENT_BITS;
}

/* False where a value is not finite. */
static bool take_floats(float *levels, const float *values, size_t count)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        levels[i] = values[i] * FULL_SCALE;
        finite = finite && is_finite(levels[i]);
    }
    return finite;
}

/* Rounds halves to even, as NumPy does, so that C and Python give the same bytes. */
static bool take_rounded(uint8_t *bytes, const float *values, size_t count)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        const float level = values[i] * FULL_SCALE;
        finite = finite && is_finite(level);
        bytes[i] = (uint8_t)lrintf(fminf(fmaxf(level, 0.0f), FULL_SCALE));
    }
    return finite;
}

static elir_status write_input(elir_restorer *restorer, const uint8_t *image, size_t stride)
{
    const elir_model *model = restorer->model;
    const size_t row = (size_t)model->width * CHANNELS;
    void *memory = NULL;
    const elir_status status =
        of_litert(LiteRtLockTensorBuffer(restorer->input, &memory, ELIR_LITERT_LOCK_WRITE));
    if (status != ELIR_OK) {
        return status;
    }
    for (size_t y = 0; y < (size_t)model->height; y++) {
        if (model->input.type == ELIR_FLOAT32) {
            put_floats((float *)memory + y * row, image + y * stride, row);
        } else {
            memcpy((uint8_t *)memory + y * row, image + y * stride, row);
        }
    }
    return of_litert(LiteRtUnlockTensorBuffer(restorer->input));
}

static bool take_row(const elir_restorer *restorer, uint8_t *restored, const void *memory, size_t y)
{
    const size_t row = (size_t)restorer->model->width * CHANNELS;
    if (restorer->model->output.type == ELIR_FLOAT32) {
        return take_rounded(restored, (const float *)memory + y * row, row);
    }
    memcpy(restored, (const uint8_t *)memory + y * row, row);
    return true;
}

static bool take_row_levels(const elir_restorer *restorer, float *levels, const void *memory, size_t y)
{
    const size_t row = (size_t)restorer->model->width * CHANNELS;
    if (restorer->model->output.type == ELIR_FLOAT32) {
        return take_floats(levels, (const float *)memory + y * row, row);
    }
    for (size_t x = 0; x < row; x++) {
        levels[x] = ((const uint8_t *)memory)[y * row + x];
    }
    return true;
}

/* Into `restored`, or where that is NULL into `levels`. */
static elir_status read_output(elir_restorer *restorer, uint8_t *restored, size_t stride, float *levels)
{
    const size_t row = (size_t)restorer->model->width * CHANNELS;
    bool finite = true;
    void *memory = NULL;
    const elir_status status =
        of_litert(LiteRtLockTensorBuffer(restorer->output, &memory, ELIR_LITERT_LOCK_READ));
    if (status != ELIR_OK) {
        return status;
    }
    for (size_t y = 0; y < (size_t)restorer->model->height && finite; y++) {
        finite = restored != NULL ? take_row(restorer, restored + y * stride, memory, y)
                                  : take_row_levels(restorer, levels + y * row, memory, y);
    }
    const elir_status unlocked = of_litert(LiteRtUnlockTensorBuffer(restorer->output));
    return unlocked != ELIR_OK || finite ? unlocked : ELIR_ERROR_VALUES;
}

static elir_status run_graph(const elir_restorer *restorer, enum graph graph, size_t input_count,
                             LiteRtTensorBuffer *inputs, LiteRtTensorBuffer *output)
{
    return of_litert(LiteRtRunCompiledModel(restorer->compiled, (size_t)graph, input_count, inputs, 1, output));
}

/* Its times are in the model, in the order of the steps: all of one, then of two, of three and so on. */
static elir_status write_place(elir_restorer *restorer, int32_t step)
{
    void *memory = NULL;
    const int32_t place = restorer->steps * (restorer->steps - 1) / 2 + step;
    const elir_status status =
        of_litert(LiteRtLockTensorBuffer(restorer->place, &memory, ELIR_LITERT_LOCK_WRITE));
    if (status != ELIR_OK) {
        return status;
    }
    memcpy(memory, &place, sizeof place);
    return of_litert(LiteRtUnlockTensorBuffer(restorer->place));
}

static elir_status run_parts(elir_restorer *restorer)
{
    LiteRtTensorBuffer *latents = restorer->latents;
    elir_status status = run_graph(restorer, ENCODER, 1, &restorer->input, &latents[0]);
    for (int32_t i = 0; i < restorer->steps && status == ELIR_OK; i++) {
        LiteRtTensorBuffer inputs[] = {restorer->place, latents[i % 2]};
        status = write_place(restorer, i);
        if (status == ELIR_OK) {
            status = run_graph(restorer, STEP, 2, inputs, &latents[(i + 1) % 2]);
        }
    }
    return status != ELIR_OK ? status
                             : run_graph(restorer, DECODER, 1, &latents[restorer->steps % 2], &restorer->output);
}

static elir_status run_on(elir_restorer *restorer, const uint8_t *image, size_t stride)
{
    const elir_status status = write_input(restorer, image, stride);
    if (status != ELIR_OK) {
        return status;
    }
    return is_split(restorer->model) ? run_parts(restorer)
                                     : run_graph(restorer, WHOLE, 1, &restorer->input, &restorer->output);
}

/* LiteRT allocates what all runs need in the first one: that is done here, on a black frame of one row for all rows. */
static elir_status warm_up(elir_restorer *restorer)
{
    uint8_t *row = calloc((size_t)restorer->model->width, CHANNELS);
    if (row == NULL) {
        return ELIR_ERROR_MEMORY;
    }
    const elir_status status = run_on(restorer, row, 0);
    free(row);
    return status;
}

elir_status elir_open(const elir_model *model, const char *path, int threads, elir_restorer **restorer)
{
    if (restorer == NULL) {
        return ELIR_ERROR_ARGUMENT;
    }
    *restorer = NULL;
    if (model == NULL || threads < 0 || (path == NULL && model->data == NULL)) {
        return ELIR_ERROR_ARGUMENT;
    }
    elir_status status = check_content(model, path);
    if (status != ELIR_OK) {
        return status;
    }
    elir_restorer *opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        return ELIR_ERROR_MEMORY;
    }
    opened->model = model;
    opened->steps = model->steps;
    status = create_environment(opened);
    if (status == ELIR_OK) {
        status = load(opened, path);
    }
    if (status == ELIR_OK) {
        status = compile(opened, threads);
    }
    if (status == ELIR_OK) {
        status = create_buffers(opened);
    }
    if (status == ELIR_OK) {
        status = warm_up(opened);
    }
    if (status != ELIR_OK) {
        elir_close(opened);
        return status;
    }
    *restorer = opened;
    return ELIR_OK;
}

void elir_close(elir_restorer *restorer)
{
    if (restorer == NULL) {
        return;
    }
    LiteRtTensorBuffer buffers[] = {restorer->latents[1], restorer->latents[0], restorer->place, restorer->output,
                                    restorer->input};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        if (buffers[i] != NULL) {
            LiteRtDestroyTensorBuffer(buffers[i]);
        }
    }
    if (restorer->compiled != NULL) {
        LiteRtDestroyCompiledModel(restorer->compiled);
    }
    if (restorer->graph != NULL) {
        LiteRtDestroyModel(restorer->graph);
    }
    if (restorer->environment != NULL) {
        LiteRtDestroyEnvironment(restorer->environment);
    }
    free(restorer);
}

static elir_status run(elir_restorer *restorer, int32_t width, int32_t height, const uint8_t *image, size_t stride)
{
    if (restorer == NULL || image == NULL) {
        return ELIR_ERROR_ARGUMENT;
    }
    if (width != restorer->model->width || height != restorer->model->height) {
        return ELIR_ERROR_SIZE;
    }
    if (stride < (size_t)width * CHANNELS) {
        return ELIR_ERROR_ARGUMENT;
    }
    return run_on(restorer, image, stride);
}

elir_status elir_set_steps(elir_restorer *restorer, int32_t steps)
{
    if (restorer == NULL) {
        return ELIR_ERROR_ARGUMENT;
    }
    const int32_t most = restorer->model->steps, fewest = is_split(restorer->model) ? 1 : most;
    if (steps < fewest || steps > most) {
        return ELIR_ERROR_STEPS;
    }
    restorer->steps = steps;
    return ELIR_OK;
}

elir_status elir_restore(elir_restorer *restorer, int32_t width, int32_t height, const uint8_t *image,
                         size_t image_stride, uint8_t *restored, size_t restored_stride)
{
    if (restored == NULL || (width > 0 && restored_stride < (size_t)width * CHANNELS)) {
        return ELIR_ERROR_ARGUMENT;
    }
    const elir_status status = run(restorer, width, height, image, image_stride);
    return status != ELIR_OK ? status : read_output(restorer, restored, restored_stride, NULL);
}

elir_status elir_restore_levels(elir_restorer *restorer, int32_t width, int32_t height, const uint8_t *image,
                                size_t image_stride, float *levels)
{
    if (levels == NULL) {
        return ELIR_ERROR_ARGUMENT;
    }
    const elir_status status = run(restorer, width, height, image, image_stride);
    return status != ELIR_OK ? status : read_output(restorer, NULL, 0, levels);
}

const elir_model *elir_model_of(const elir_restorer *restorer)
{
    return restorer->model;
}

const char *elir_message(elir_status status)
{
    switch (status) {
    case ELIR_OK:
        return "done";
    case ELIR_ERROR_ARGUMENT:
        return "a null pointer, a negative count, or a stride shorter than a row";
    case ELIR_ERROR_SIZE:
        return "the frame is not of the model's size";
    case ELIR_ERROR_FILE:
        return "the model file cannot be read";
    case ELIR_ERROR_MODEL:
        return "the model is not the one this program was built for, or it is damaged";
    case ELIR_ERROR_MEMORY:
        return "not enough memory";
    case ELIR_ERROR_RUNTIME:
        return "LiteRT failed; its log on stderr says why";
    case ELIR_ERROR_VALUES:
        return "the model gave values that are not finite";
    case ELIR_ERROR_STEPS:
        return "the model takes 1 to model->steps steps, or only model->steps where they are unrolled";
    }
    return "no status of this library";
}
