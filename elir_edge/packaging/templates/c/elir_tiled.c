/* SPDX-License-Identifier: Apache-2.0 */
#include "elir_tiled.h"

#include <math.h>
#include <string.h>

#define CHANNELS 3
#define FULL_SCALE 255.0f
#define OVERLAP 32
#define MOST_ALIGNED 32

typedef struct frame {
    int32_t width, height;
    const uint8_t *image;
    size_t image_stride;
    uint8_t *restored;
    size_t restored_stride;
} frame;

/* A row of tiles: strip holds what is being restored, blended what the rows above have left to fade out. */
typedef struct tiling {
    int32_t tile_width, tile_height, overlap;
    int32_t step;          /* tiles start at multiples of it, so that the network sees equal grids where they overlap */
    int32_t width, height; /* that the tiles cover: at least the frame */
    float *strip, *blended, *levels;
    uint8_t *tile;
} tiling;

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static int32_t alignment(int32_t width, int32_t height)
{
    int32_t step = MOST_ALIGNED;
    while (step > 1 && (width % step || height % step || 4 * step > least(width, height))) {
        step /= 2;
    }
    return step;
}

/* The length that tiles cover: a tile, and as many steps as the frame is longer. */
static int32_t covered(int32_t length, int32_t tile, int32_t step)
{
    return tile + (most(0, length - tile) + step - 1) / step * step;
}

static tiling tiling_of(const elir_model *model, int32_t width, int32_t height)
{
    const int32_t step = alignment(model->width, model->height);
    const tiling tiles = {
        .tile_width = model->width,
        .tile_height = model->height,
        .overlap = least(OVERLAP, least(model->width, model->height) / 2),
        .step = step,
        .width = covered(width, model->width, step),
        .height = covered(height, model->height, step),
    };
    return tiles;
}

static size_t strip_values(const tiling *tiles)
{
    return (size_t)tiles->tile_height * (size_t)tiles->width * CHANNELS;
}

static size_t tile_values(const tiling *tiles)
{
    return (size_t)tiles->tile_height * (size_t)tiles->tile_width * CHANNELS;
}

static int32_t tile_count(const tiling *tiles, int32_t length, int32_t tile)
{
    const int32_t stride = most(1, (tile - tiles->overlap) / tiles->step) * tiles->step;
    return 1 + (length - tile + stride - 1) / stride;
}

/* Where a tile begins: the tiles share out what there is, so that they overlap by no less than is asked. */
static int32_t tile_start(const tiling *tiles, int32_t index, int32_t length, int32_t tile)
{
    const int32_t gaps = most(1, tile_count(tiles, length, tile) - 1);
    return (int32_t)((int64_t)index * ((length - tile) / tiles->step) / gaps) * tiles->step;
}

/* The place in 0..length-1 of which `place` is the reflection. */
static int32_t reflected(int32_t place, int32_t length)
{
    if (length == 1) {
        return 0;
    }
    const int32_t period = 2 * (length - 1);
    const int32_t within = place % period;
    return within < length ? within : period - within;
}

static void cut_tile(const tiling *tiles, const frame *whole, int32_t left, int32_t top)
{
    uint8_t *value = tiles->tile;
    for (int32_t y = 0; y < tiles->tile_height; y++) {
        const uint8_t *row = whole->image + (size_t)reflected(top + y, whole->height) * whole->image_stride;
        for (int32_t x = 0; x < tiles->tile_width; x++) {
            memcpy(value, row + (size_t)reflected(left + x, whole->width) * CHANNELS, CHANNELS);
            value += CHANNELS;
        }
    }
}

/* Fades from what is there to what comes, over `shared` places of which this is one. */
static void fade(float *there, const float *coming, size_t count, int32_t place, int32_t shared)
{
    const float share = ((float)place + 0.5f) / (float)shared;
    for (size_t i = 0; i < count; i++) {
        there[i] += share * (coming[i] - there[i]);
    }
}

static void blend_tile(const tiling *tiles, int32_t left, int32_t shared)
{
    const size_t strip_row = (size_t)tiles->width * CHANNELS, tile_row = (size_t)tiles->tile_width * CHANNELS;
    const size_t faded = (size_t)shared * CHANNELS;
    for (size_t y = 0; y < (size_t)tiles->tile_height; y++) {
        float *there = tiles->strip + y * strip_row + (size_t)left * CHANNELS;
        const float *coming = tiles->levels + y * tile_row;
        for (int32_t x = 0; x < shared; x++) {
            fade(there + (size_t)x * CHANNELS, coming + (size_t)x * CHANNELS, CHANNELS, x, shared);
        }
        memcpy(there + faded, coming + faded, (tile_row - faded) * sizeof *there);
    }
}

static elir_status restore_strip(elir_restorer *restorer, const tiling *tiles, const frame *whole, int32_t top)
{
    const int32_t count = tile_count(tiles, tiles->width, tiles->tile_width);
    int32_t filled = 0;
    for (int32_t i = 0; i < count; i++) {
        const int32_t left = tile_start(tiles, i, tiles->width, tiles->tile_width);
        cut_tile(tiles, whole, left, top);
        const elir_status status =
            elir_restore_levels(restorer, tiles->tile_width, tiles->tile_height, tiles->tile,
                                (size_t)tiles->tile_width * CHANNELS, tiles->levels);
        if (status != ELIR_OK) {
            return status;
        }
        blend_tile(tiles, left, most(0, filled - left));
        filled = left + tiles->tile_width;
    }
    return ELIR_OK;
}

static void blend_strip(const tiling *tiles, int32_t shared)
{
    const size_t row = (size_t)tiles->width * CHANNELS, faded = (size_t)shared * row;
    for (int32_t y = 0; y < shared; y++) {
        fade(tiles->blended + (size_t)y * row, tiles->strip + (size_t)y * row, row, y, shared);
    }
    memcpy(tiles->blended + faded, tiles->strip + faded, (strip_values(tiles) - faded) * sizeof *tiles->strip);
}

/* Writes the first rows of what is blended, which nothing will change any more, and moves the others up. */
static void put_rows(const tiling *tiles, const frame *whole, int32_t top, int32_t rows)
{
    const size_t row = (size_t)tiles->width * CHANNELS, done = (size_t)rows * row;
    for (int32_t y = 0; y < least(rows, whole->height - top); y++) {
        const float *levels = tiles->blended + (size_t)y * row;
        uint8_t *bytes = whole->restored + (size_t)(top + y) * whole->restored_stride;
        for (size_t x = 0; x < (size_t)whole->width * CHANNELS; x++) {
            bytes[x] = (uint8_t)lrintf(fminf(fmaxf(levels[x], 0.0f), FULL_SCALE));
        }
    }
    memmove(tiles->blended, tiles->blended + done, (strip_values(tiles) - done) * sizeof *tiles->blended);
}

static elir_status restore_strips(elir_restorer *restorer, const tiling *tiles, const frame *whole)
{
    const int32_t count = tile_count(tiles, tiles->height, tiles->tile_height);
    int32_t filled = 0, begin = 0;
    for (int32_t i = 0; i < count; i++) {
        const int32_t top = tile_start(tiles, i, tiles->height, tiles->tile_height);
        put_rows(tiles, whole, begin, top - begin);
        const elir_status status = restore_strip(restorer, tiles, whole, top);
        if (status != ELIR_OK) {
            return status;
        }
        blend_strip(tiles, most(0, filled - top));
        begin = top;
        filled = top + tiles->tile_height;
    }
    put_rows(tiles, whole, begin, tiles->tile_height);
    return ELIR_OK;
}

size_t elir_tiled_bytes(const elir_model *model, int32_t width, int32_t height)
{
    if (model == NULL || width < 1 || height < 1 || width > ELIR_TILED_MAX_SIDE || height > ELIR_TILED_MAX_SIDE) {
        return 0;
    }
    const tiling tiles = tiling_of(model, width, height);
    return (2 * strip_values(&tiles) + tile_values(&tiles)) * sizeof(float) + tile_values(&tiles);
}

elir_status elir_restore_tiled(elir_restorer *restorer, int32_t width, int32_t height, const uint8_t *image,
                               size_t image_stride, uint8_t *restored, size_t restored_stride, void *workspace,
                               size_t workspace_bytes)
{
    if (restorer == NULL || image == NULL || restored == NULL || workspace == NULL) {
        return ELIR_ERROR_ARGUMENT;
    }
    const elir_model *model = elir_model_of(restorer);
    const size_t needed = elir_tiled_bytes(model, width, height);
    if (needed == 0) {
        return ELIR_ERROR_SIZE;
    }
    if (workspace_bytes < needed) {
        return ELIR_ERROR_MEMORY;
    }
    const size_t row = (size_t)width * CHANNELS;
    if (image_stride < row || restored_stride < row || (image == restored && image_stride != restored_stride)) {
        return ELIR_ERROR_ARGUMENT;
    }
    tiling tiles = tiling_of(model, width, height);
    tiles.strip = workspace;
    tiles.blended = tiles.strip + strip_values(&tiles);
    tiles.levels = tiles.blended + strip_values(&tiles);
    tiles.tile = (uint8_t *)(tiles.levels + tile_values(&tiles));
    const frame whole = {width, height, image, image_stride, restored, restored_stride};
    return restore_strips(restorer, &tiles, &whole);
}
