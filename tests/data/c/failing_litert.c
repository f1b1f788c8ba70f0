/*
 * Stands for libLiteRt.so: it gives its input back, and fails at a call of one's choice. The program goes through all
 * of them: whatever fails, elir_open and elir_restore say so, and what was made is given back (AddressSanitizer looks).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "@{id}_model.h"
#include "elir_litert.h"
#include "elir_restorer.h"

#define MODEL (&@{variable})
#define VALUES ((size_t)3 * (size_t)MODEL->width * (size_t)MODEL->height)
#define RUNTIME_FAILURE 3

struct LiteRtTensorBufferT {
    int locked;
    float values[3 * 64 * 64];
};
struct LiteRtOptionsT {
    LiteRtOpaqueOptions added;
};
struct LiteRtOpaqueOptionsT {
    void *payload;
    void (*destroy)(void *);
};

static int calls, fail_at, fail_with;
static uint32_t given; /* the bits of a value in the middle of what the model gives; 0: none */
static const elir_tensor place = {.name = "place", .type = ELIR_INT32, .shape = {1}};
static const elir_tensor *const tensors[] = {&place, &MODEL->input, &MODEL->output, &MODEL->latent};

static LiteRtStatus step(void)
{
    return calls++ == fail_at ? fail_with : ELIR_LITERT_OK;
}

#define MAKE(place, bytes)                                                                                             \
    do {                                                                                                               \
        const LiteRtStatus status = step();                                                                            \
        if (status == ELIR_LITERT_OK) {                                                                                \
            *(void **)(place) = calloc(1, bytes);                                                                      \
        }                                                                                                              \
        return status;                                                                                                 \
    } while (0)

LiteRtStatus LiteRtCreateEnvironment(int count, const LiteRtEnvOption *options, LiteRtEnvironment *made)
{
    (void)count;
    (void)options;
    MAKE(made, 1);
}

LiteRtStatus LiteRtCreateModelFromFile(LiteRtEnvironment environment, const char *path, LiteRtModel *made)
{
    (void)environment;
    (void)path;
    MAKE(made, 1);
}

LiteRtStatus LiteRtCreateModelFromBuffer(LiteRtEnvironment environment, const void *data, size_t bytes,
                                         LiteRtModel *made)
{
    (void)environment;
    (void)data;
    (void)bytes;
    MAKE(made, 1);
}

LiteRtStatus LiteRtCreateOptions(LiteRtOptions *made)
{
    MAKE(made, sizeof **made);
}

LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptions options, int accelerators)
{
    (void)options;
    (void)accelerators;
    return step();
}

LiteRtStatus LiteRtCreateOpaqueOptions(const char *identifier, void *payload, void (*destroy)(void *),
                                       LiteRtOpaqueOptions *made)
{
    const LiteRtStatus status = step();
    (void)identifier;
    if (status == ELIR_LITERT_OK) {
        *made = calloc(1, sizeof **made);
        (*made)->payload = payload;
        (*made)->destroy = destroy;
    }
    return status;
}

LiteRtStatus LiteRtAddOpaqueOptions(LiteRtOptions options, LiteRtOpaqueOptions added)
{
    const LiteRtStatus status = step();
    if (status == ELIR_LITERT_OK) {
        options->added = added;
    }
    return status;
}

LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnvironment environment, LiteRtModel model, LiteRtOptions options,
                                       LiteRtCompiledModel *made)
{
    (void)environment;
    (void)model;
    (void)options;
    MAKE(made, 1);
}

LiteRtStatus LiteRtGetModelSignature(LiteRtModel model, size_t index, LiteRtSignature *signature)
{
    (void)model;
    (void)index;
    *signature = NULL;
    return step();
}

LiteRtStatus LiteRtGetSignatureInputTensor(LiteRtSignature signature, const char *name, LiteRtTensor *tensor)
{
    (void)signature;
    for (uintptr_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        if (tensors[i]->name != NULL && strcmp(tensors[i]->name, name) == 0) {
            *tensor = (LiteRtTensor)i; /* its place in the list stands for it */
        }
    }
    return step();
}

LiteRtStatus LiteRtGetSignatureOutputTensor(LiteRtSignature signature, const char *name, LiteRtTensor *tensor)
{
    return LiteRtGetSignatureInputTensor(signature, name, tensor);
}

LiteRtStatus LiteRtGetRankedTensorType(LiteRtTensor tensor, LiteRtRankedTensorType *type)
{
    const elir_tensor *stated = tensors[(uintptr_t)tensor];
    type->element_type = (int32_t)stated->type;
    for (type->rank = 0; type->rank < 4 && stated->shape[type->rank] != 0; type->rank++) {
    }
    memcpy(type->dimensions, stated->shape, sizeof stated->shape);
    return step();
}

LiteRtStatus LiteRtGetCompiledModelInputBufferRequirements(LiteRtCompiledModel compiled, size_t signature,
                                                           size_t index, LiteRtTensorBufferRequirements *found)
{
    (void)compiled;
    (void)signature;
    (void)index;
    *found = NULL;
    return step();
}

LiteRtStatus LiteRtGetCompiledModelOutputBufferRequirements(LiteRtCompiledModel compiled, size_t signature,
                                                            size_t index, LiteRtTensorBufferRequirements *found)
{
    return LiteRtGetCompiledModelInputBufferRequirements(compiled, signature, index, found);
}

LiteRtStatus LiteRtCreateManagedTensorBufferFromRequirements(LiteRtEnvironment environment,
                                                             const LiteRtRankedTensorType *type,
                                                             LiteRtTensorBufferRequirements requirements,
                                                             LiteRtTensorBuffer *made)
{
    (void)environment;
    (void)type;
    (void)requirements;
    MAKE(made, sizeof **made);
}

LiteRtStatus LiteRtLockTensorBuffer(LiteRtTensorBuffer buffer, void **memory, int mode)
{
    const LiteRtStatus status = step();
    (void)mode;
    buffer->locked += status == ELIR_LITERT_OK;
    *memory = buffer->values;
    return status;
}

LiteRtStatus LiteRtUnlockTensorBuffer(LiteRtTensorBuffer buffer)
{
    buffer->locked--;
    return step();
}

LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModel compiled, size_t signature, size_t input_count,
                                    LiteRtTensorBuffer *inputs, size_t output_count, LiteRtTensorBuffer *outputs)
{
    (void)compiled;
    (void)signature;
    (void)output_count;
    memcpy(outputs[0]->values, inputs[input_count - 1]->values, sizeof outputs[0]->values);
    if (given != 0) {
        memcpy(&outputs[0]->values[VALUES / 2], &given, sizeof given);
    }
    return step();
}

void LiteRtDestroyEnvironment(LiteRtEnvironment environment)
{
    free(environment);
}

void LiteRtDestroyModel(LiteRtModel model)
{
    free(model);
}

void LiteRtDestroyOpaqueOptions(LiteRtOpaqueOptions options)
{
    options->destroy(options->payload);
    free(options);
}

void LiteRtDestroyOptions(LiteRtOptions options)
{
    if (options->added != NULL) {
        LiteRtDestroyOpaqueOptions(options->added);
    }
    free(options);
}

void LiteRtDestroyCompiledModel(LiteRtCompiledModel compiled)
{
    free(compiled);
}

void LiteRtDestroyTensorBuffer(LiteRtTensorBuffer buffer)
{
    if (buffer->locked != 0) {
        (void)fprintf(stderr, "a buffer is destroyed while it is locked\n");
        exit(1);
    }
    free(buffer);
}

static elir_status open_and_restore(const char *path, uint8_t *frame)
{
    elir_restorer *restorer = NULL;
    const size_t row = (size_t)MODEL->width * 3;
    calls = 0;
    elir_status status = elir_open(MODEL, path, 2, &restorer);
    if ((status == ELIR_OK) != (restorer != NULL)) {
        exit(1);
    }
    if (status == ELIR_OK) {
        status = elir_restore(restorer, MODEL->width, MODEL->height, frame, row, frame, row);
    }
    elir_close(restorer);
    return status;
}

/* Whether values that are not finite are told, as bytes and as levels, also where the compiler takes all for finite. */
static int values_are_told(const char *path, uint8_t *frame)
{
    static const uint32_t wrong[] = {0x7fc00000u, 0xffc00001u, 0x7f800000u, 0xff800000u};
    const size_t row = (size_t)MODEL->width * 3;
    elir_restorer *restorer = NULL;
    float *levels = malloc(VALUES * sizeof *levels);
    int told = levels != NULL && elir_open(MODEL, path, 0, &restorer) == ELIR_OK;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0] && told; i++) {
        given = wrong[i];
        told = elir_restore(restorer, MODEL->width, MODEL->height, frame, row, frame, row) == ELIR_ERROR_VALUES &&
               elir_restore_levels(restorer, MODEL->width, MODEL->height, frame, row, levels) == ELIR_ERROR_VALUES;
    }
    given = 0;
    elir_close(restorer);
    free(levels);
    return told;
}

int main(int count, char **words)
{
    uint8_t *frame = malloc(VALUES), *expected = malloc(VALUES);
    if (count != 2 || frame == NULL || expected == NULL) {
        return 2;
    }
    for (size_t i = 0; i < VALUES; i++) {
        expected[i] = (uint8_t)(i * 7);
    }
    memcpy(frame, expected, VALUES);
    fail_at = -1;
    if (open_and_restore(words[1], frame) != ELIR_OK || memcmp(frame, expected, VALUES) != 0) {
        return 3;
    }
    const int all = calls;
    for (fail_with = ELIR_LITERT_NO_MEMORY; fail_with <= RUNTIME_FAILURE; fail_with++) {
        for (fail_at = 0; fail_at < all; fail_at++) {
            if (open_and_restore(words[1], frame) == ELIR_OK) {
                (void)fprintf(stderr, "call %d failed, and nobody said so\n", fail_at);
                return 1;
            }
        }
    }
    fail_at = -1;
    const int told = values_are_told(words[1], frame);
    free(frame);
    free(expected);
    (void)printf("%d calls\n", all);
    return told ? 0 : 4;
}
