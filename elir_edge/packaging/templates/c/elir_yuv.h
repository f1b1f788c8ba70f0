/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of cameras and video decoders, YUV with half as much chroma each way, from and to packed RGB888. */
#ifndef ELIR_YUV_H
#define ELIR_YUV_H

#include <stdint.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What levels mean, with the matrix of BT.601: 0..255 as in JPEG and most cameras, or 16..235 and 16..240 as in video. */
typedef enum elir_range { ELIR_RANGE_FULL = 0, ELIR_RANGE_VIDEO = 1 } elir_range;

/*
 * A frame of width x height pixels in three planes; those of chroma are (width + 1) / 2 x (height + 1) / 2.
 *
 *   y_stride, chroma_stride  bytes from a row to the next
 *   chroma_step              bytes from a chroma value to the next: 1 for I420, 2 for NV12 (v is u + 1) and NV21
 *
 * These are the planes, rowStride and pixelStride of Android's YUV_420_888 too.
 */
typedef struct elir_yuv {
    uint8_t *y, *u, *v;
    size_t y_stride, chroma_stride, chroma_step;
    elir_range range;
} elir_yuv;

/* Writes the frame as RGB888, rows rgb_stride bytes apart, at least 3 * width. Each chroma value is that of 4 pixels. */
void elir_yuv_to_rgb(const elir_yuv *frame, int32_t width, int32_t height, uint8_t *rgb, size_t rgb_stride);

/* Writes RGB888 into the planes of the frame; chroma is the mean of 4 pixels. What lies between rows is left alone. */
void elir_yuv_from_rgb(const elir_yuv *frame, int32_t width, int32_t height, const uint8_t *rgb, size_t rgb_stride);

#ifdef __cplusplus
}
#endif

#endif
