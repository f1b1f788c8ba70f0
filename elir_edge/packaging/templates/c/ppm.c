/* SPDX-License-Identifier: Apache-2.0 */
#include "ppm.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define CHANNELS 3
#define MAX_LEVEL 255
#define MAX_SIDE 32768

/* The next number of a header, past white space and comments; -1 where there is none up to the limit. */
static int32_t read_number(FILE *file, int32_t limit)
{
    int32_t number = 0;
    bool comment = false;
    int letter = fgetc(file);
    while (isspace(letter) || letter == '#' || (comment && letter != EOF)) {
        comment = letter == '#' || (comment && letter != '\n');
        letter = fgetc(file);
    }
    if (!isdigit(letter)) {
        return -1;
    }
    for (; isdigit(letter); letter = fgetc(file)) {
        number = 10 * number + (letter - '0');
        if (number > limit) {
            return -1;
        }
    }
    return isspace(letter) ? number : -1;
}

static bool read_pixels(FILE *file, ppm_picture *picture)
{
    if (fgetc(file) != 'P' || fgetc(file) != '6') {
        return false;
    }
    picture->width = read_number(file, MAX_SIDE);
    picture->height = read_number(file, MAX_SIDE);
    if (picture->width <= 0 || picture->height <= 0 || read_number(file, MAX_LEVEL) != MAX_LEVEL) {
        return false;
    }
    const size_t bytes = (size_t)picture->width * (size_t)picture->height * CHANNELS;
    picture->pixels = malloc(bytes);
    return picture->pixels != NULL && fread(picture->pixels, 1, bytes, file) == bytes;
}

bool ppm_read(const char *path, ppm_picture *picture)
{
    picture->pixels = NULL;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    const bool done = read_pixels(file, picture);
    (void)fclose(file);
    if (!done) {
        ppm_free(picture);
    }
    return done;
}

bool ppm_write(const char *path, int32_t width, int32_t height, const uint8_t *pixels)
{
    const size_t bytes = (size_t)width * (size_t)height * CHANNELS;
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return false;
    }
    const bool written = fprintf(file, "P6\n%d %d\n%d\n", (int)width, (int)height, MAX_LEVEL) > 0 &&
                         fwrite(pixels, 1, bytes, file) == bytes;
    return fclose(file) == 0 && written;
}

void ppm_free(ppm_picture *picture)
{
    free(picture->pixels);
    picture->pixels = NULL;
}
