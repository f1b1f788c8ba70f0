// Restores a PPM picture of the model's size, or runs the package's self-test.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <memory>
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
    std::string self_test;
    std::vector<std::string> pictures;
};

int usage()
{
    std::cerr << "usage: restore [--model FILE] [--threads N] IMAGE.ppm RESTORED.ppm\n"
                 "       restore [--model FILE] [--threads N] --self-test FOLDER\n";
    return wrong_usage;
}

std::vector<std::uint8_t> read_frame(const elir::Restorer &restorer, const std::string &path)
{
    ppm_picture picture{};
    if (!ppm_read(path.c_str(), &picture)) {
        throw std::runtime_error(path + ": not a binary PPM picture of 8 bits a channel");
    }
    const std::unique_ptr<std::uint8_t, void (*)(void *)> owner(picture.pixels, std::free);
    if (picture.width != restorer.width() || picture.height != restorer.height()) {
        throw std::runtime_error(path + ": not of the model's size");
    }
    return {picture.pixels, picture.pixels + restorer.frame_bytes()};
}

int self_test(elir::Restorer &restorer, const std::string &folder)
{
    const auto restored = restorer.restore(read_frame(restorer, folder + "/image.ppm"));
    const auto golden = read_frame(restorer, folder + "/restored.ppm");
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

bool parse(int count, char **words, Arguments &given)
{
    int i = 1;
    for (; i + 1 < count && std::string(words[i]).rfind("--", 0) == 0; i += 2) {
        const std::string option = words[i];
        if (option == "--model") {
            given.model = words[i + 1];
        } else if (option == "--threads") {
            given.threads = std::atoi(words[i + 1]);
        } else if (option == "--self-test") {
            given.self_test = words[i + 1];
        } else {
            return false;
        }
    }
    given.pictures.assign(words + std::min(i, count), words + count);
    return given.pictures.size() == (given.self_test.empty() ? 2U : 0U);
}

int run(const Arguments &given)
{
    elir::Restorer restorer(@{variable}, given.model, given.threads);
    if (!given.self_test.empty()) {
        return self_test(restorer, given.self_test);
    }
    const auto restored = restorer.restore(read_frame(restorer, given.pictures[0]));
    if (!ppm_write(given.pictures[1].c_str(), restorer.width(), restorer.height(), restored.data())) {
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
