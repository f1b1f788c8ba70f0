/*
 * Calls a package's library as users would, rightly and wrongly.
 *
 *   check MODEL IMAGE.ppm RESTORED.ppm [DAMAGED]   MODEL - is the one inside the program
 *
 * Writes what the image became; exits with 1 and says where an expectation does not hold.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "@{id}_model.h"
#include "elir_restorer.h"
#include "elir_tiled.h"
#include "ppm.h"

#define MODEL (&@{variable})
#define GAP 7
#define EXPECT(expected, call) expect(__LINE__, #call, expected, call)
#define TRUE(condition) expect(__LINE__, #condition, 1, (condition) ? 1 : 0)

static void expect(int line, const char *what, int expected, int found)
{
    if (found != expected) {
        (void)fprintf(stderr, "line %d: %s is %d, expected %d\n", line, what, found, expected);
        exit(1);
    }
}

static void check_arguments(const char *path, const uint8_t *frame, uint8_t *restored)
{
    elir_restorer *restorer = NULL;
    const int32_t width = MODEL->width, height = MODEL->height;
    const size_t row = (size_t)width * 3;
    EXPECT(ELIR_ERROR_ARGUMENT, elir_open(NULL, path, 0, &restorer));
    EXPECT(ELIR_ERROR_ARGUMENT, elir_open(MODEL, path, 0, NULL));
    EXPECT(ELIR_ERROR_ARGUMENT, elir_open(MODEL, path, -1, &restorer));
    EXPECT(ELIR_ERROR_FILE, elir_open(MODEL, "no/such/file", 0, &restorer));
    TRUE(restorer == NULL);
    EXPECT(ELIR_ERROR_ARGUMENT, elir_restore(NULL, width, height, frame, row, restored, row));
    EXPECT(ELIR_OK, elir_open(MODEL, path, 1, &restorer));
    EXPECT(ELIR_ERROR_ARGUMENT, elir_restore(restorer, width, height, NULL, row, restored, row));
    EXPECT(ELIR_ERROR_ARGUMENT, elir_restore(restorer, width, height, frame, row, NULL, row));
    EXPECT(ELIR_ERROR_ARGUMENT, elir_restore(restorer, width, height, frame, row - 1, restored, row));
    EXPECT(ELIR_ERROR_ARGUMENT, elir_restore(restorer, width, height, frame, row, restored, row - 1));
    EXPECT(ELIR_ERROR_SIZE, elir_restore(restorer, width - 1, height, frame, row, restored, row));
    EXPECT(ELIR_ERROR_SIZE, elir_restore(restorer, width, height + 1, frame, row, restored, row));
    EXPECT(ELIR_ERROR_SIZE, elir_restore(restorer, -width, -height, frame, row, restored, row));
    elir_close(restorer);
    elir_close(NULL);
}

static void check_models(const char *path, const char *damaged)
{
    elir_restorer *restorer = NULL;
    elir_model other = *MODEL;
    elir_tensor *const tensors[] = {&other.input, &other.output, &other.latent};
    const size_t count = MODEL->latent.name != NULL ? 3 : 2;
    if (damaged != NULL) {
        EXPECT(ELIR_ERROR_MODEL, elir_open(MODEL, damaged, 0, &restorer));
    }
    other.crc32 ^= 1u;
    EXPECT(ELIR_ERROR_MODEL, elir_open(&other, path, 0, &restorer));
    for (size_t i = 0; i < count; i++) {
        other = *MODEL;
        tensors[i]->shape[1] += 32;
        EXPECT(ELIR_ERROR_MODEL, elir_open(&other, path, 0, &restorer));
        other = *MODEL;
        tensors[i]->type = tensors[i]->type == ELIR_UINT8 ? ELIR_FLOAT32 : ELIR_UINT8;
        EXPECT(ELIR_ERROR_MODEL, elir_open(&other, path, 0, &restorer));
        other = *MODEL;
        tensors[i]->shape[3] = 0;
        EXPECT(ELIR_ERROR_MODEL, elir_open(&other, path, 0, &restorer));
        other = *MODEL;
        tensors[i]->name = "something else";
        EXPECT(ELIR_ERROR_MODEL, elir_open(&other, path, 0, &restorer));
    }
    TRUE(restorer == NULL);
}

/* Rows with gaps between them, and in place: the gaps stay as they are, the pixels are the same. */
static void check_strides(elir_restorer *restorer, const ppm_picture *image, const uint8_t *restored)
{
    const size_t row = (size_t)image->width * 3, stride = row + GAP, height = (size_t)image->height;
    uint8_t *frame = malloc(stride * height);
    TRUE(frame != NULL);
    memset(frame, 0xa5, stride * height);
    for (size_t y = 0; y < height; y++) {
        memcpy(frame + y * stride, image->pixels + y * row, row);
    }
    EXPECT(ELIR_OK, elir_restore(restorer, image->width, image->height, frame, stride, frame, stride));
    for (size_t y = 0; y < height; y++) {
        TRUE(memcmp(frame + y * stride, restored + y * row, row) == 0);
        for (size_t x = row; x < stride; x++) {
            TRUE(frame[y * stride + x] == 0xa5);
        }
    }
    free(frame);
}

static void check_tiles(elir_restorer *restorer, const ppm_picture *image, const uint8_t *restored)
{
    const int32_t width = image->width, height = image->height;
    const size_t row = (size_t)width * 3, bytes = elir_tiled_bytes(MODEL, width, height);
    uint8_t *tiled = malloc(row * (size_t)height);
    void *workspace = malloc(bytes);
    TRUE(tiled != NULL && workspace != NULL);
    memcpy(tiled, image->pixels, row * (size_t)height);
    EXPECT(ELIR_OK, elir_restore_tiled(restorer, width, height, tiled, row, tiled, row, workspace, bytes));
    TRUE(memcmp(tiled, restored, row * (size_t)height) == 0);
    TRUE(elir_model_of(restorer) == MODEL);
    TRUE(elir_tiled_bytes(NULL, 8, 8) == 0 && elir_tiled_bytes(MODEL, 0, 8) == 0);
    TRUE(elir_tiled_bytes(MODEL, 8, -1) == 0 && elir_tiled_bytes(MODEL, 32769, 8) == 0);
    EXPECT(ELIR_ERROR_SIZE, elir_restore_tiled(restorer, 0, 8, tiled, row, tiled, row, workspace, bytes));
    EXPECT(ELIR_ERROR_MEMORY,
           elir_restore_tiled(restorer, width, height, tiled, row, tiled, row, workspace, bytes - 1));
    EXPECT(ELIR_ERROR_ARGUMENT,
           elir_restore_tiled(restorer, width, height, tiled, row - 1, tiled, row, workspace, bytes));
    EXPECT(ELIR_ERROR_ARGUMENT,
           elir_restore_tiled(restorer, width, height, tiled, row, tiled, row + 1, workspace, bytes));
    EXPECT(ELIR_ERROR_ARGUMENT, elir_restore_tiled(restorer, width, height, tiled, row, tiled, row, NULL, bytes));
    EXPECT(ELIR_ERROR_ARGUMENT, elir_restore_tiled(NULL, width, height, tiled, row, tiled, row, workspace, bytes));
    EXPECT(ELIR_ERROR_ARGUMENT, elir_restore_levels(restorer, width, height, tiled, row, NULL));
    free(workspace);
    free(tiled);
}

/* As many steps as the model has give `restored` again, after fewer of them gave something else. */
static void check_steps(elir_restorer *restorer, const ppm_picture *image, const uint8_t *restored)
{
    const int32_t most = MODEL->steps, fewest = MODEL->latent.name != NULL ? 1 : most;
    const size_t row = (size_t)image->width * 3, bytes = row * (size_t)image->height;
    uint8_t *frame = malloc(bytes);
    TRUE(frame != NULL);
    EXPECT(ELIR_ERROR_ARGUMENT, elir_set_steps(NULL, most));
    for (int32_t steps = fewest; steps <= most; steps++) {
        EXPECT(ELIR_OK, elir_set_steps(restorer, steps));
        EXPECT(ELIR_ERROR_STEPS, elir_set_steps(restorer, fewest - 1));
        EXPECT(ELIR_ERROR_STEPS, elir_set_steps(restorer, most + 1));
        EXPECT(ELIR_ERROR_STEPS, elir_set_steps(restorer, -most));
        EXPECT(ELIR_OK, elir_restore(restorer, image->width, image->height, image->pixels, row, frame, row));
        EXPECT(steps == most, memcmp(frame, restored, bytes) == 0);
    }
    free(frame);
}

static void check_messages(void)
{
    for (int status = ELIR_OK; status <= ELIR_ERROR_STEPS; status++) {
        TRUE(strlen(elir_message((elir_status)status)) > 0);
        TRUE(strcmp(elir_message((elir_status)status), elir_message((elir_status)99)) != 0);
    }
}

int main(int count, char **words)
{
    TRUE(count == 4 || count == 5);
    const char *path = strcmp(words[1], "-") == 0 ? NULL : words[1];
    elir_restorer *restorer = NULL, *second = NULL;
    ppm_picture image;
    TRUE(ppm_read(words[2], &image));
    const size_t row = (size_t)image.width * 3;
    uint8_t *restored = malloc(row * (size_t)image.height);
    TRUE(restored != NULL);
    EXPECT(ELIR_OK, elir_open(MODEL, path, 0, &restorer));
    EXPECT(ELIR_OK, elir_open(MODEL, path, 2, &second));
    EXPECT(ELIR_OK, elir_restore(second, image.width, image.height, image.pixels, row, restored, row));
    EXPECT(ELIR_OK, elir_restore(restorer, image.width, image.height, image.pixels, row, restored, row));
    elir_close(second);
    check_strides(restorer, &image, restored);
    check_tiles(restorer, &image, restored);
    check_steps(restorer, &image, restored);
    elir_close(restorer);
    TRUE(ppm_write(words[3], image.width, image.height, restored));
    check_arguments(path, image.pixels, restored);
    check_models(path, count == 5 ? words[4] : NULL);
    check_messages();
    free(restored);
    ppm_free(&image);
    return 0;
}
