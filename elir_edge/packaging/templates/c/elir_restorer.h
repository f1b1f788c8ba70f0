/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restores pictures with one of elir-edge's models, through LiteRT's C API.
 *
 * A restorer takes frames of one size, that of its model: packed RGB888, 8 bits a channel, rows from top to bottom.
 * There is no global state. All memory is allocated by elir_open and given back by elir_close; elir_restore itself
 * allocates nothing, and LiteRT some hundred bytes for each graph that it runs. A restorer may be used by one thread at a
 * time; one thread may have several.
 */
#ifndef ELIR_RESTORER_H
#define ELIR_RESTORER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call came to. ELIR_OK is 0, everything else an error; elir_message puts it into words. */
typedef enum elir_status {
    ELIR_OK = 0,
    ELIR_ERROR_ARGUMENT = 1, /* a null pointer, a negative count, or a stride shorter than a row */
    ELIR_ERROR_SIZE = 2,     /* the frame is not of the model's size */
    ELIR_ERROR_FILE = 3,     /* the model file cannot be read */
    ELIR_ERROR_MODEL = 4,    /* the model is not the one this program was built for, or it is damaged */
    ELIR_ERROR_MEMORY = 5,   /* not enough memory */
    ELIR_ERROR_RUNTIME = 6,  /* LiteRT failed; it logs the reason to stderr */
    ELIR_ERROR_VALUES = 7,   /* the model gave values that are not finite */
    ELIR_ERROR_STEPS = 8     /* a number of steps that the model does not take */
} elir_status;

/* How a tensor's values are stored. */
typedef enum elir_type { ELIR_FLOAT32 = 1, ELIR_INT32 = 2, ELIR_UINT8 = 3 } elir_type;

/* An input or output. What a stored value means, on the scale of 0..1: scale * (stored - zero_point). */
typedef struct elir_tensor {
    const char *name;
    elir_type type;
    int32_t shape[4]; /* 1, height, width, 3; behind fewer sides stand zeros */
    float scale;
    int32_t zero_point;
} elir_tensor;

/*
 * A model: each package defines one as a constant. Its Euler steps are unrolled, or, in a split model, one step is a
 * graph of its own, which runs as often as elir_set_steps says.
 */
typedef struct elir_model {
    const char *name;
    const unsigned char *data; /* the model itself where it is linked into the program, else NULL */
    size_t bytes;              /* size of the model file */
    uint32_t crc32;            /* of the model file, as zlib computes it */
    int32_t width, height;     /* of a frame, in pixels */
    int32_t steps;             /* Euler steps; of a split model the most */
    elir_tensor input, output;
    elir_tensor latent;        /* what the steps of a split model change; without a name where they are unrolled */
} elir_model;

typedef struct elir_restorer elir_restorer;

/*
 * Loads a model and runs it once, in which LiteRT allocates its working memory; *restorer is NULL where that fails.
 *
 *   model    what the package defines; kept, not copied
 *   path     the model file; NULL takes the model that is linked into the program
 *   threads  CPU threads to run on; 0 leaves their number to LiteRT, which takes one
 *
 * Gives ELIR_ERROR_ARGUMENT, _FILE, _MODEL (other content than model->crc32 states), _MEMORY or _RUNTIME.
 */
elir_status elir_open(const elir_model *model, const char *path, int threads, elir_restorer **restorer);

/*
 * Chooses how many Euler steps restorations from now on take: fewer are faster. After elir_open it is model->steps.
 *
 *   steps  1 to model->steps where the model is split, else only model->steps
 *
 * Gives ELIR_ERROR_STEPS for any other number, which changes nothing, or ELIR_ERROR_ARGUMENT.
 */
elir_status elir_set_steps(elir_restorer *restorer, int32_t steps);

/*
 * Restores one frame of exactly the model's width and height.
 *
 *   image, restored                the frame, and where the restored one goes; they may be the same memory
 *   image_stride, restored_stride  bytes from a row to the next, at least 3 * width
 *
 * Gives ELIR_ERROR_SIZE for frames of another size, ELIR_ERROR_ARGUMENT, _RUNTIME or _VALUES.
 */
elir_status elir_restore(elir_restorer *restorer, int32_t width, int32_t height, const uint8_t *image,
                         size_t image_stride, uint8_t *restored, size_t restored_stride);

/*
 * The same, but gives levels before they are rounded: floats from about 0 to 255, width * height * 3 of them without
 * gaps. For those who go on computing with them.
 */
elir_status elir_restore_levels(elir_restorer *restorer, int32_t width, int32_t height, const uint8_t *image,
                                size_t image_stride, float *levels);

/* The model that a restorer was opened with. */
const elir_model *elir_model_of(const elir_restorer *restorer);

/* Gives everything back. NULL is allowed. */
void elir_close(elir_restorer *restorer);

/* A sentence for a status. The text is constant. */
const char *elir_message(elir_status status);

#ifdef __cplusplus
}
#endif

#endif
