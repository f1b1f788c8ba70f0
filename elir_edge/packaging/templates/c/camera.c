/* SPDX-License-Identifier: Apache-2.0 */
/* Restores a stream of YUV420 frames of any size, as a camera or a decoder gives them, from stdin to stdout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "@{id}_model.h"
#include "elir_restorer.h"
#include "elir_tiled.h"
#include "elir_yuv.h"

#define CHANNELS 3
#define WORDS 6
#define NS_PER_MS 1e6
#define MS_PER_S 1e3

enum exit_code { DONE = 0, WRONG_USAGE = 2, BAD_FRAME = 65, FAILED = 70, CANNOT_WRITE = 74 };

/* A stream of frames: bytes of one frame, and what is needed to restore it. Nothing is allocated from frame to frame. */
typedef struct stream {
    int32_t width, height, steps;
    size_t frame_bytes, workspace_bytes;
    uint8_t *frame, *rgb;
    void *workspace;
    elir_yuv planes;
} stream;

typedef struct timing {
    double converting, restoring;
    long frames;
} timing;

static double now_ms(void)
{
    struct timespec time;
    (void)timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec * MS_PER_S + (double)time.tv_nsec / NS_PER_MS;
}

/* The planes of a frame whose rows of luma are `stride` bytes apart. Those of I420's chroma are half as far apart. */
static void lay_out(stream *frames, const char *layout, size_t stride)
{
    const int packed = strcmp(layout, "nv12") == 0;
    const size_t rows = (size_t)(frames->height + 1) / 2;
    const size_t chroma_stride = packed ? stride : (stride + 1) / 2;
    uint8_t *chroma = frames->frame + stride * (size_t)frames->height;
    frames->planes.y = frames->frame;
    frames->planes.y_stride = stride;
    frames->planes.chroma_stride = chroma_stride;
    frames->planes.chroma_step = packed ? 2 : 1;
    frames->planes.u = chroma;
    frames->planes.v = packed ? chroma + 1 : chroma + chroma_stride * rows;
}

static elir_status restore_frame(elir_restorer *restorer, const stream *frames, timing *times)
{
    const size_t row = (size_t)frames->width * CHANNELS;
    const double start = now_ms();
    elir_yuv_to_rgb(&frames->planes, frames->width, frames->height, frames->rgb, row);
    const double ready = now_ms();
    const elir_status status =
        frames->width == @{symbol}_WIDTH && frames->height == @{symbol}_HEIGHT
            ? elir_restore(restorer, frames->width, frames->height, frames->rgb, row, frames->rgb, row)
            : elir_restore_tiled(restorer, frames->width, frames->height, frames->rgb, row, frames->rgb, row,
                                 frames->workspace, frames->workspace_bytes);
    const double restored = now_ms();
    elir_yuv_from_rgb(&frames->planes, frames->width, frames->height, frames->rgb, row);
    times->restoring += restored - ready;
    times->converting += now_ms() - restored + (ready - start);
    times->frames++;
    return status;
}

static int restore_stream(elir_restorer *restorer, const stream *frames)
{
    timing times = {0, 0, 0};
    size_t got;
    while ((got = fread(frames->frame, 1, frames->frame_bytes, stdin)) == frames->frame_bytes) {
        const elir_status status = restore_frame(restorer, frames, &times);
        if (status != ELIR_OK) {
            (void)fprintf(stderr, "camera: %s\n", elir_message(status));
            return FAILED;
        }
        if (fwrite(frames->frame, 1, frames->frame_bytes, stdout) != frames->frame_bytes || fflush(stdout) != 0) {
            (void)fprintf(stderr, "camera: stdout cannot be written\n");
            return CANNOT_WRITE;
        }
    }
    if (got != 0) {
        (void)fprintf(stderr, "camera: stdin ends inside a frame\n");
        return BAD_FRAME;
    }
    const double count = times.frames > 0 ? (double)times.frames : 1;
    (void)fprintf(stderr, "%ld frames, each %.2f ms to restore and %.2f ms from and to YUV\n", times.frames,
                  times.restoring / count, times.converting / count);
    return DONE;
}

static int open_and_restore(const char *model, stream *frames)
{
    elir_restorer *restorer = NULL;
    elir_status status = elir_open(&@{variable}, model, 0, &restorer);
    if (status != ELIR_OK) {
        (void)fprintf(stderr, "camera: %s: %s\n", model != NULL ? model : "the model inside", elir_message(status));
        return FAILED;
    }
    status = elir_set_steps(restorer, frames->steps);
    if (status != ELIR_OK) {
        (void)fprintf(stderr, "camera: STEPS: %s\n", elir_message(status));
    }
    const int code = status == ELIR_OK ? restore_stream(restorer, frames) : FAILED;
    elir_close(restorer);
    return code;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: camera [--model FILE] WIDTH HEIGHT STRIDE i420|nv12 full|video [STEPS] < FRAMES > RESTORED\n");
    return WRONG_USAGE;
}

/* A whole number from 1, as a side in pixels is; else 0. */
static int32_t whole_number(const char *text)
{
    char *end = NULL;
    const long number = strtol(text, &end, 10);
    return *text == '\0' || *end != '\0' || number < 1 || number > ELIR_TILED_MAX_SIDE ? 0 : (int32_t)number;
}

int main(int count, char **words)
{
    stream frames = {.steps = @{symbol}_STEPS};
    const char *model = @{default_model};
    if (count > 2 && strcmp(words[1], "--model") == 0) {
        model = words[2];
        count -= 2;
        words += 2;
    }
    if (count != WORDS && count != WORDS + 1) {
        return usage();
    }
    frames.width = whole_number(words[1]);
    frames.height = whole_number(words[2]);
    frames.steps = count > WORDS ? whole_number(words[WORDS]) : frames.steps;
    const size_t stride = (size_t)whole_number(words[3]);
    const int packed = strcmp(words[4], "nv12") == 0, video = strcmp(words[5], "video") == 0;
    const size_t row = (size_t)frames.width + (size_t)(packed ? frames.width % 2 : 0);
    if (frames.width == 0 || frames.height == 0 || frames.steps == 0 || stride < row || (!packed && strcmp(words[4], "i420") != 0) ||
        (!video && strcmp(words[5], "full") != 0)) {
        return usage();
    }
    const size_t chroma_rows = (size_t)(frames.height + 1) / 2;
    frames.frame_bytes = stride * (size_t)frames.height + (stride + 1) / 2 * 2 * chroma_rows;
    if (packed) {
        frames.frame_bytes = stride * ((size_t)frames.height + chroma_rows);
    }
    frames.workspace_bytes = elir_tiled_bytes(&@{variable}, frames.width, frames.height);
    frames.frame = malloc(frames.frame_bytes);
    frames.rgb = malloc((size_t)frames.width * (size_t)frames.height * CHANNELS);
    frames.workspace = malloc(frames.workspace_bytes);
    int code = FAILED;
    if (frames.frame == NULL || frames.rgb == NULL || frames.workspace == NULL) {
        (void)fprintf(stderr, "camera: %s\n", elir_message(ELIR_ERROR_MEMORY));
    } else {
        lay_out(&frames, words[4], stride);
        frames.planes.range = video ? ELIR_RANGE_VIDEO : ELIR_RANGE_FULL;
        code = open_and_restore(model, &frames);
    }
    free(frames.workspace);
    free(frames.rgb);
    free(frames.frame);
    return code;
}
