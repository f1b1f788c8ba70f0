/* SPDX-License-Identifier: Apache-2.0 */
/* Restores a PPM picture of any size, or runs the package's self-test. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "@{id}_model.h"
#include "elir_restorer.h"
#include "elir_tiled.h"
#include "ppm.h"

#define PATH_BYTES 1024
#define CHANNELS 3
#define FULL_SCALE 255.0
#define NS_PER_MS 1e6
#define MS_PER_S 1e3

enum exit_code { DONE = 0, TEST_FAILED = 1, WRONG_USAGE = 2, BAD_PICTURE = 65, FAILED = 70, CANNOT_WRITE = 73 };

typedef struct arguments {
    const char *model, *self_test, *image, *restored;
    int threads, steps, repeat;
} arguments;

static int usage(void)
{
    (void)fprintf(stderr, "usage: restore [--model FILE] [--threads N] [--steps N] [--repeat N] IMAGE.ppm RESTORED.ppm\n"
                          "       restore [--model FILE] [--threads N] --self-test FOLDER\n");
    return WRONG_USAGE;
}

static int fail(const char *what, elir_status status)
{
    (void)fprintf(stderr, "restore: %s: %s\n", what, elir_message(status));
    return FAILED;
}

static double now_ms(void)
{
    struct timespec time;
    (void)timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec * MS_PER_S + (double)time.tv_nsec / NS_PER_MS;
}

static long peak_memory_kb(void)
{
    struct rusage used;
    return getrusage(RUSAGE_SELF, &used) == 0 ? used.ru_maxrss : 0;
}

static bool read_picture(const char *path, ppm_picture *picture)
{
    if (ppm_read(path, picture)) {
        return true;
    }
    (void)fprintf(stderr, "restore: %s: cannot be read, or is no binary PPM picture of 8 bits a channel\n", path);
    return false;
}

static int compare(const ppm_picture *restored, const ppm_picture *golden)
{
    const size_t bytes = (size_t)golden->width * (size_t)golden->height * CHANNELS;
    int largest = 0;
    double squares = 0;
    size_t differing = 0;
    for (size_t i = 0; i < bytes; i++) {
        const int difference = abs((int)restored->pixels[i] - (int)golden->pixels[i]);
        largest = difference > largest ? difference : largest;
        differing += difference != 0;
        squares += (double)difference * difference;
    }
    const double db = differing == 0 ? INFINITY : 10 * log10(FULL_SCALE * FULL_SCALE * (double)bytes / squares);
    const bool passed = largest <= @{symbol}_TEST_LEVELS || (@{symbol}_TEST_DB > 0 && db >= @{symbol}_TEST_DB);
    (void)printf("self-test %s: %zu of %zu values differ, by at most %d levels of 255, PSNR %.1f dB\n",
                 passed ? "passed" : "FAILED", differing, bytes, largest, db);
    return passed ? DONE : TEST_FAILED;
}

static int test_on(elir_restorer *restorer, ppm_picture *image, const ppm_picture *golden)
{
    const size_t stride = (size_t)image->width * CHANNELS;
    if (golden->width != image->width || golden->height != image->height) {
        return fail("self-test", ELIR_ERROR_SIZE);
    }
    const elir_status status =
        elir_restore(restorer, image->width, image->height, image->pixels, stride, image->pixels, stride);
    return status == ELIR_OK ? compare(image, golden) : fail("self-test", status);
}

static int self_test(elir_restorer *restorer, const char *folder)
{
    char path[PATH_BYTES];
    ppm_picture image, golden;
    int code = BAD_PICTURE;
    (void)snprintf(path, sizeof path, "%s/image.ppm", folder);
    if (!read_picture(path, &image)) {
        return code;
    }
    (void)snprintf(path, sizeof path, "%s/restored.ppm", folder);
    if (read_picture(path, &golden)) {
        code = test_on(restorer, &image, &golden);
        ppm_free(&golden);
    }
    ppm_free(&image);
    return code;
}

/* Frames of the model's size go through it as they are, others in tiles, for which there is a workspace. */
static elir_status restore_frame(elir_restorer *restorer, const ppm_picture *picture, uint8_t *restored,
                                 void *workspace, size_t workspace_bytes)
{
    const size_t stride = (size_t)picture->width * CHANNELS;
    if (picture->width == @{symbol}_WIDTH && picture->height == @{symbol}_HEIGHT) {
        return elir_restore(restorer, picture->width, picture->height, picture->pixels, stride, restored, stride);
    }
    return elir_restore_tiled(restorer, picture->width, picture->height, picture->pixels, stride, restored, stride,
                              workspace, workspace_bytes);
}

static int restore_repeatedly(elir_restorer *restorer, const arguments *given, const ppm_picture *picture,
                              uint8_t *restored, void *workspace, size_t workspace_bytes)
{
    double fastest = 0;
    for (int i = 0; i < given->repeat; i++) {
        const double start = now_ms();
        const elir_status status = restore_frame(restorer, picture, restored, workspace, workspace_bytes);
        const double taken = now_ms() - start;
        if (status != ELIR_OK) {
            return fail(given->image, status);
        }
        fastest = i == 0 || taken < fastest ? taken : fastest;
    }
    if (!ppm_write(given->restored, picture->width, picture->height, restored)) {
        (void)fprintf(stderr, "restore: %s: cannot be written\n", given->restored);
        return CANNOT_WRITE;
    }
    (void)printf("restored in %.1f ms (fastest of %d), peak memory %ld KiB\n", fastest, given->repeat,
                 peak_memory_kb());
    return DONE;
}

static int restore_picture(elir_restorer *restorer, const arguments *given)
{
    ppm_picture picture;
    if (!read_picture(given->image, &picture)) {
        return BAD_PICTURE;
    }
    int code;
    const elir_status status = elir_set_steps(restorer, given->steps);
    const size_t workspace_bytes = elir_tiled_bytes(&@{variable}, picture.width, picture.height);
    uint8_t *restored = malloc((size_t)picture.width * (size_t)picture.height * CHANNELS);
    void *workspace = malloc(workspace_bytes);
    if (status != ELIR_OK) {
        code = fail("--steps", status);
    } else if (restored == NULL || workspace == NULL) {
        code = fail(given->image, ELIR_ERROR_MEMORY);
    } else {
        code = restore_repeatedly(restorer, given, &picture, restored, workspace, workspace_bytes);
    }
    free(workspace);
    free(restored);
    ppm_free(&picture);
    return code;
}

/* A whole number from 0 or more, else -1. */
static int whole_number(const char *text)
{
    char *end = NULL;
    const long number = strtol(text, &end, 10);
    return *text == '\0' || *end != '\0' || number < 0 || number > INT16_MAX ? -1 : (int)number;
}

static bool parse(int count, char **words, arguments *given)
{
    int i = 1;
    for (; i + 1 < count && strncmp(words[i], "--", 2) == 0; i += 2) {
        if (strcmp(words[i], "--model") == 0) {
            given->model = words[i + 1];
        } else if (strcmp(words[i], "--self-test") == 0) {
            given->self_test = words[i + 1];
        } else if (strcmp(words[i], "--threads") == 0) {
            given->threads = whole_number(words[i + 1]);
        } else if (strcmp(words[i], "--steps") == 0) {
            given->steps = whole_number(words[i + 1]);
        } else if (strcmp(words[i], "--repeat") == 0) {
            given->repeat = whole_number(words[i + 1]);
        } else {
            return false;
        }
    }
    if (given->self_test == NULL && count - i == 2) {
        given->image = words[i];
        given->restored = words[i + 1];
        i += 2;
    }
    return i == count && given->threads >= 0 && given->steps >= 0 && given->repeat >= 1 && (given->self_test || given->image);
}

int main(int count, char **words)
{
    arguments given = {.model = @{default_model}, .steps = @{symbol}_STEPS, .repeat = 1};
    elir_restorer *restorer = NULL;
    if (!parse(count, words, &given)) {
        return usage();
    }
    const elir_status status = elir_open(&@{variable}, given.model, given.threads, &restorer);
    if (status != ELIR_OK) {
        return fail(given.model != NULL ? given.model : "the model inside", status);
    }
    const int code =
        given.self_test != NULL ? self_test(restorer, given.self_test) : restore_picture(restorer, &given);
    elir_close(restorer);
    return code;
}
