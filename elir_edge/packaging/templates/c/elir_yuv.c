/* SPDX-License-Identifier: Apache-2.0 */
#include "elir_yuv.h"

#define CHANNELS 3
#define BITS 16
#define HALF (1 << (BITS - 1))
#define MIDDLE 128
#define HIGHEST 255

/* BT.601 in 1/65536: what a level of y, u, v adds to r, g, b, and what levels of r, g, b add to y, u, v. */
typedef struct matrix {
    int32_t black;
    int32_t y, rv, gu, gv, bu;
    int32_t to_y[CHANNELS], to_u[CHANNELS], to_v[CHANNELS];
} matrix;

static const matrix MATRICES[] = {
    {0, 65536, 91881, -22553, -46802, 116130, {19595, 38470, 7471}, {-11058, -21710, 32768}, {32768, -27439, -5329}},
    {16, 76309, 104597, -25675, -53279, 132201, {16829, 33039, 6416}, {-9714, -19070, 28784}, {28784, -24103, -4681}},
};

static uint8_t level(int32_t value, int bits)
{
    if (value < 0) {
        return 0;
    }
    const int32_t rounded = value >> bits;
    return (uint8_t)(rounded > HIGHEST ? HIGHEST : rounded);
}

void elir_yuv_to_rgb(const elir_yuv *frame, int32_t width, int32_t height, uint8_t *rgb, size_t rgb_stride)
{
    const matrix *by = &MATRICES[frame->range];
    for (int32_t row = 0; row < height; row++) {
        const uint8_t *luma = frame->y + (size_t)row * frame->y_stride;
        const size_t start = (size_t)(row / 2) * frame->chroma_stride;
        uint8_t *out = rgb + (size_t)row * rgb_stride;
        for (int32_t x = 0; x < width; x++, out += CHANNELS) {
            const size_t at = start + (size_t)(x / 2) * frame->chroma_step;
            const int32_t u = frame->u[at] - MIDDLE, v = frame->v[at] - MIDDLE;
            const int32_t y = (luma[x] - by->black) * by->y + HALF;
            out[0] = level(y + by->rv * v, BITS);
            out[1] = level(y + by->gu * u + by->gv * v, BITS);
            out[2] = level(y + by->bu * u, BITS);
        }
    }
}

static int32_t weighted(const int32_t *weights, const int32_t *values)
{
    return weights[0] * values[0] + weights[1] * values[1] + weights[2] * values[2];
}

static void put_luma(const elir_yuv *frame, const matrix *by, int32_t width, int32_t row, const uint8_t *rgb)
{
    uint8_t *luma = frame->y + (size_t)row * frame->y_stride;
    for (int32_t x = 0; x < width; x++, rgb += CHANNELS) {
        const int32_t pixel[CHANNELS] = {rgb[0], rgb[1], rgb[2]};
        luma[x] = level(weighted(by->to_y, pixel) + (by->black << BITS) + HALF, BITS);
    }
}

/* A row of chroma from two rows of pixels, which are the same one below the last of an odd number. */
static void put_chroma(const elir_yuv *frame, const matrix *by, int32_t width, int32_t row, const uint8_t *upper,
                       const uint8_t *lower)
{
    const size_t start = (size_t)(row / 2) * frame->chroma_stride;
    const int32_t middle = MIDDLE * 4 * (HALF * 2) + 4 * HALF;
    for (int32_t x = 0; x < width; x += 2) {
        const size_t left = (size_t)x * CHANNELS, right = x + 1 < width ? left + CHANNELS : left;
        const size_t at = start + (size_t)(x / 2) * frame->chroma_step;
        int32_t sums[CHANNELS];
        for (size_t i = 0; i < CHANNELS; i++) {
            sums[i] = upper[left + i] + upper[right + i] + lower[left + i] + lower[right + i];
        }
        frame->u[at] = level(weighted(by->to_u, sums) + middle, BITS + 2);
        frame->v[at] = level(weighted(by->to_v, sums) + middle, BITS + 2);
    }
}

void elir_yuv_from_rgb(const elir_yuv *frame, int32_t width, int32_t height, const uint8_t *rgb, size_t rgb_stride)
{
    const matrix *by = &MATRICES[frame->range];
    for (int32_t row = 0; row < height; row++) {
        const uint8_t *pixels = rgb + (size_t)row * rgb_stride;
        put_luma(frame, by, width, row, pixels);
        if (row % 2 == 0) {
            put_chroma(frame, by, width, row, pixels, row + 1 < height ? pixels + rgb_stride : pixels);
        }
    }
}
