/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C API of elir_restorer.h as a class: it closes itself, and errors are exceptions. Where exceptions are switched
 * off, use the C API.
 */
#ifndef ELIR_RESTORER_HPP
#define ELIR_RESTORER_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "elir_restorer.h"
#include "elir_tiled.h"

namespace elir {

/* A call that did not give ELIR_OK; what() is its sentence. */
class Error : public std::runtime_error {
public:
    explicit Error(elir_status status) : std::runtime_error(elir_message(status)), status_(status) {}

    elir_status status() const noexcept { return status_; }

private:
    elir_status status_;
};

/* A loaded model. It can be moved, not copied; one thread at a time may use it. */
class Restorer {
public:
    /* Loads the model file at path, or with nullptr the model that is linked into the program; 0 threads leaves their
     * number to LiteRT. Throws Error. */
    explicit Restorer(const elir_model &model, const char *path = nullptr, int threads = 0)
        : model_(&model), restorer_(open(model, path, threads))
    {
    }

    /* Chooses how many Euler steps restorations from now on take: 1 to model.steps, where the model is split. Throws
     * Error. */
    void set_steps(std::int32_t steps) { check(elir_set_steps(restorer_.get(), steps)); }

    std::int32_t width() const noexcept { return model_->width; }
    std::int32_t height() const noexcept { return model_->height; }

    /* Bytes of a frame whose rows follow each other without a gap. */
    std::size_t frame_bytes() const noexcept { return static_cast<std::size_t>(height()) * row_bytes(); }

    /* Restores one RGB888 frame of width x height pixels, strides in bytes; image and restored may be the same memory.
     * Allocates nothing itself. Throws Error. */
    void restore(std::int32_t width, std::int32_t height, const std::uint8_t *image, std::size_t image_stride,
                 std::uint8_t *restored, std::size_t restored_stride)
    {
        check(elir_restore(restorer_.get(), width, height, image, image_stride, restored, restored_stride));
    }

    /* The same for frames of any size, in overlapping tiles; allocates what elir_tiled_bytes says. The same memory needs
     * the same stride. Throws Error. */
    void restore_tiled(std::int32_t width, std::int32_t height, const std::uint8_t *image, std::size_t image_stride,
                       std::uint8_t *restored, std::size_t restored_stride)
    {
        std::vector<float> workspace(elir_tiled_bytes(model_, width, height) / sizeof(float) + 1);
        check(elir_restore_tiled(restorer_.get(), width, height, image, image_stride, restored, restored_stride,
                                 workspace.data(), workspace.size() * sizeof(float)));
    }

    /* Restores a frame of the model's size without gaps. Throws Error, with ELIR_ERROR_SIZE where it has not frame_bytes() bytes. */
    std::vector<std::uint8_t> restore(const std::vector<std::uint8_t> &image)
    {
        if (image.size() != frame_bytes()) {
            throw Error(ELIR_ERROR_SIZE);
        }
        std::vector<std::uint8_t> restored(image.size());
        restore(width(), height(), image.data(), row_bytes(), restored.data(), row_bytes());
        return restored;
    }

private:
    struct Close {
        void operator()(elir_restorer *restorer) const noexcept { elir_close(restorer); }
    };

    static void check(elir_status status)
    {
        if (status != ELIR_OK) {
            throw Error(status);
        }
    }

    static elir_restorer *open(const elir_model &model, const char *path, int threads)
    {
        elir_restorer *opened = nullptr;
        check(elir_open(&model, path, threads, &opened));
        return opened;
    }

    std::size_t row_bytes() const noexcept { return static_cast<std::size_t>(width()) * 3; }

    const elir_model *model_;
    std::unique_ptr<elir_restorer, Close> restorer_;
};

} // namespace elir

#endif
