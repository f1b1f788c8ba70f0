/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing binary PPM files (P6, 8 bits a channel): all the pictures that the example needs. */
#ifndef ELIR_PPM_H
#define ELIR_PPM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Packed RGB888, rows from top to bottom; pixels comes from malloc. */
typedef struct ppm_picture {
    int32_t width, height;
    uint8_t *pixels;
} ppm_picture;

/* False where the file cannot be read or is no such picture; picture->pixels is NULL then. */
bool ppm_read(const char *path, ppm_picture *picture);

/* False where the file cannot be written. */
bool ppm_write(const char *path, int32_t width, int32_t height, const uint8_t *pixels);

/* Frees the pixels. */
void ppm_free(ppm_picture *picture);

#ifdef __cplusplus
}
#endif

#endif
