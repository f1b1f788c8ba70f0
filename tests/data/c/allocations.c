/*
 * Prints the bytes that elir_open allocates, and those of the first and the second restoration; with glibc.
 *
 *   allocations MODEL
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "@{id}_model.h"
#include "elir_restorer.h"

#define MODEL (&@{variable})

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

static size_t allocated;

static void *count(void *memory, size_t bytes)
{
    (void)__atomic_add_fetch(&allocated, bytes, __ATOMIC_RELAXED);
    return memory;
}

void *malloc(size_t bytes)
{
    return count(__libc_malloc(bytes), bytes);
}

void *calloc(size_t number, size_t bytes)
{
    return count(__libc_calloc(number, bytes), number * bytes);
}

void *realloc(void *memory, size_t bytes)
{
    return count(__libc_realloc(memory, bytes), bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return count(__libc_memalign(alignment, bytes), bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    *memory = count(__libc_memalign(alignment, bytes), bytes);
    return *memory != NULL ? 0 : ENOMEM;
}

int main(int words, char **word)
{
    const size_t row = (size_t)MODEL->width * 3;
    uint8_t *frame = calloc(row, (size_t)MODEL->height);
    elir_restorer *restorer = NULL;
    size_t before = allocated, bytes[3] = {0};
    if (words != 2 || frame == NULL || elir_open(MODEL, word[1], 0, &restorer) != ELIR_OK) {
        return 2;
    }
    bytes[0] = allocated - before;
    for (int i = 1; i < 3; i++) {
        before = allocated;
        if (elir_restore(restorer, MODEL->width, MODEL->height, frame, row, frame, row) != ELIR_OK) {
            return 1;
        }
        bytes[i] = allocated - before;
    }
    elir_close(restorer);
    free(frame);
    (void)printf("%zu %zu %zu\n", bytes[0], bytes[1], bytes[2]);
    return 0;
}
