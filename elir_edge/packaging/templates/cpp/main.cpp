/* SPDX-License-Identifier: Apache-2.0 */
// Restores a PPM picture of any size, or runs the package's self-test.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "@{id}_model.h"
#include "elir_restorer.hpp"
#include "ppm.h"

namespace {

constexpr int done = 0, test_failed = 1, wrong_usage = 2, failed = 70;

struct Arguments {
    const char *model = @{default_model};
    int threads = 0;
    int steps = @{symbol}_STEPS;
    std::string self_test;
    std::vector<std::string> pictures;
};

int usage()
{
    std::cerr << "usage: restore [--model FILE] [--threads N] [--steps N] IMAGE.ppm RESTORED.ppm\n"
                 "       restore [--model FILE] [--threads N] --self-test FOLDER\n";
    return wrong_usage;
}

struct Picture {
    std::int32_t width, height;
    std::vector<std::uint8_t> pixels;
};

Picture read_picture(const std::string &path)
{
    ppm_picture picture{};
    if (!ppm_read(path.c_str(), &picture)) {
        throw std::runtime_error(path + ": cannot be read, or is no binary PPM picture of 8 bits a channel");
    }
    const std::unique_ptr<std::uint8_t, void (*)(void *)> owner(picture.pixels, std::free);
    const auto bytes = static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height) * 3;
    return {picture.width, picture.height, {picture.pixels, picture.pixels + bytes}};
}

int self_test(elir::Restorer &restorer, const std::string &folder)
{
    const auto restored = restorer.restore(read_picture(folder + "/image.ppm").pixels);
    const auto golden = read_picture(folder + "/restored.ppm").pixels;
    if (golden.size() != restored.size()) {
        throw elir::Error(ELIR_ERROR_SIZE);
    }
    int largest = 0;
    double squares = 0;
    for (std::size_t i = 0; i < golden.size(); i++) {
        const int difference = std::abs(int{restored[i]} - int{golden[i]});
        largest = std::max(largest, difference);
        squares += double(difference) * difference;
    }
    const double db = 10 * std::log10(255.0 * 255.0 * double(golden.size()) / squares);
    const bool passed = largest <= @{symbol}_TEST_LEVELS || (@{symbol}_TEST_DB > 0 && db >= @{symbol}_TEST_DB);
    std::cout << "self-test " << (passed ? "passed" : "FAILED") << ": values differ by at most " << largest
              << " levels of 255, PSNR " << db << " dB\n";
    return passed ? done : test_failed;
}

// A whole number from 0 or more, else -1.
int whole_number(const char *text)
{
    char *end = nullptr;
    const long number = std::strtol(text, &end, 10);
    return *text == '\0' || *end != '\0' || number < 0 || number > INT16_MAX ? -1 : static_cast<int>(number);
}

bool parse(int count, char **words, Arguments &given)
{
    int i = 1;
    for (; i + 1 < count && std::string(words[i]).rfind("--", 0) == 0; i += 2) {
        const std::string option = words[i];
        if (option == "--model") {
            given.model = words[i + 1];
        } else if (option == "--threads") {
            given.threads = whole_number(words[i + 1]);
        } else if (option == "--steps") {
            given.steps = whole_number(words[i + 1]);
        } else if (option == "--self-test") {
            given.self_test = words[i + 1];
        } else {
            return false;
        }
    }
    given.pictures.assign(words + std::min(i, count), words + count);
    return given.threads >= 0 && given.steps >= 0 && given.pictures.size() == (given.self_test.empty() ? 2U : 0U);
}

elir::Restorer open(const Arguments &given)
{
    try {
        return elir::Restorer(@{variable}, given.model, given.threads);
    } catch (const elir::Error &error) {
        const std::string model = given.model != nullptr ? given.model : "the model inside";
        throw std::runtime_error(model + ": " + error.what());
    }
}

int run(const Arguments &given)
{
    auto restorer = open(given);
    if (!given.self_test.empty()) {
        return self_test(restorer, given.self_test);
    }
    restorer.set_steps(given.steps);
    auto picture = read_picture(given.pictures[0]);
    const auto stride = static_cast<std::size_t>(picture.width) * 3;
    auto *const pixels = picture.pixels.data();
    restorer.restore_tiled(picture.width, picture.height, pixels, stride, pixels, stride);
    if (!ppm_write(given.pictures[1].c_str(), picture.width, picture.height, pixels)) {
        throw std::runtime_error(given.pictures[1] + ": cannot be written");
    }
    return done;
}

} // namespace

int main(int count, char **words)
{
    Arguments given;
    if (!parse(count, words, given)) {
        return usage();
    }
    try {
        return run(given);
    } catch (const std::exception &error) {
        std::cerr << "restore: " << error.what() << "\n";
        return failed;
    }
}
