// A photo made larger or smaller, first down, then across, as `scaling.py` says it and with its very bytes.
//
// Takes: uint8 [h, w, 3], rows `stride` bytes apart; of each wanted row and each wanted column the first pixel that it
// is made of, and its weights, float32 [wanted, taps], whole multiples of 2^-14. Gives: uint8 [height, width, 3].
//
// All products and sums are whole multiples of 2^-14 below 2^10, which float32 holds exactly: whether a compiler fuses,
// reorders or widens them, the results are the same. A pixel is four values, of which the last is not used: so a sum over
// the neighbours of a pixel is one over whole vectors, whatever the shift between them. The rows that one row is made of
// are kept as floats in a ring, which stays in the processor's cache.

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int kRows = 4;
#elif defined(__AVX__)
constexpr int kRows = 2;
#else
constexpr int kRows = 1;
#endif
typedef float Pixel __attribute__((vector_size(16), may_alias));
typedef float Wide __attribute__((vector_size(16 * kRows), may_alias));
typedef std::int32_t Whole __attribute__((vector_size(16 * kRows)));
typedef std::uint8_t Bytes __attribute__((vector_size(4 * kRows)));
typedef std::uint8_t Sixteen __attribute__((vector_size(16)));
typedef std::int32_t Signed __attribute__((vector_size(64)));
typedef float Four __attribute__((vector_size(64)));

constexpr float kMiddle = 12582912.f;  // 1.5 * 2^23: what is added to it keeps no fraction, halves go to the even one

// Four pixels of three bytes, to four of four.
inline Sixteen spread(Sixteen read) {
#if defined(__clang__)
  return __builtin_shufflevector(read, read, 0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12);
#else
  return __builtin_shuffle(read, Sixteen{0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12});
#endif
}

// The fourth value of a pixel is what stood behind it; nobody looks at it.
void widened(const std::uint8_t* row, std::int64_t w, Pixel* out) {
  std::int64_t x = 0;
  for (; x + 6 <= w; x += 4) {  // sixteen bytes are read, of which twelve are wanted
    Sixteen read;
    std::memcpy(&read, row + 3 * x, 16);
    const Four made = __builtin_convertvector(__builtin_convertvector(spread(read), Signed), Four);
    std::memcpy(out + x, &made, sizeof made);
  }
  for (; x < w; ++x) out[x] = Pixel{float(row[3 * x]), float(row[3 * x + 1]), float(row[3 * x + 2]), 0.f};
}

// The sum of `taps` rows, each times its weight, as whole numbers; pixel x of it to out[x * kRows]. w: in whole vectors.
void summed(const Pixel* const* rows, const float* weights, std::int64_t taps, std::int64_t w, Pixel* out) {
  constexpr int kAtOnce = 4;
  for (std::int64_t x = 0; x < w; x += kAtOnce * kRows) {
    Wide sums[kAtOnce] = {};
    for (std::int64_t t = 0; t < taps; ++t) {
      const Wide* const from = reinterpret_cast<const Wide*>(rows[t] + x);
      for (int i = 0; i < kAtOnce; ++i) sums[i] += weights[t] * from[i];
    }
    for (int i = 0; i < kAtOnce; ++i) {
      sums[i] = (sums[i] + kMiddle) - kMiddle;
      const Pixel* const four = reinterpret_cast<const Pixel*>(sums + i);
      for (int k = 0; k < kRows; ++k) out[(x + i * kRows + k) * kRows] = four[k];
    }
  }
}

inline Bytes cut(Wide sum) {
  const Wide black = {}, white = black + 255.f;
  sum = sum < black ? black : sum;
  sum = sum > white ? white : sum;
  return __builtin_convertvector(__builtin_convertvector((sum + kMiddle) - kMiddle, Whole), Bytes);
}

inline Bytes pixel(const Wide* from, const float* weights, std::int64_t taps) {
  Wide even = {}, odd = {};
  std::int64_t t = 0;
  for (; t + 1 < taps; t += 2) {
    even += weights[t] * from[t];
    odd += weights[t + 1] * from[t + 1];
  }
  if (t < taps) even += weights[t] * from[t];
  return cut(even + odd);
}

// kRows rows at once. A pixel is written as four bytes, of which the next one overwrites the last; the last one as three.
void across(const Wide* rows, const std::int64_t* firsts, const float* weights, std::int64_t taps, std::int64_t width,
            std::uint8_t* const* out) {
  for (std::int64_t x = 0; x + 1 < width; ++x) {
    const Bytes made = pixel(rows + firsts[x], weights + x * taps, taps);
    for (int k = 0; k < kRows; ++k) std::memcpy(out[k] + 3 * x, reinterpret_cast<const std::uint8_t*>(&made) + 4 * k, 4);
  }
  const std::int64_t last = width - 1;
  const Bytes made = pixel(rows + firsts[last], weights + last * taps, taps);
  for (int k = 0; k < kRows; ++k) std::memcpy(out[k] + 3 * last, reinterpret_cast<const std::uint8_t*>(&made) + 4 * k, 3);
}

}  // namespace

// Returns 0, or 1 where there is no memory.
extern "C" int corolla_scale(const std::uint8_t* pixels, std::int64_t stride, std::int64_t w, std::int64_t height,
                             std::int64_t width, const std::int64_t* down_firsts, const float* down_weights,
                             std::int64_t down_taps, const std::int64_t* across_firsts, const float* across_weights,
                             std::int64_t across_taps, std::uint8_t* out) {
  const std::int64_t ring = down_taps, own = (w + 15) / 16 * 16;  // pixels of a row, in whole vectors
  const std::size_t held_bytes = ring * own * sizeof(Pixel), strip_bytes = kRows * own * sizeof(Pixel);
  const std::size_t bytes = held_bytes + strip_bytes + ring * sizeof(Pixel*) + kRows * width * 3;
  void* room = nullptr;
  if (posix_memalign(&room, 64, bytes)) return 1;
  std::memset(room, 0, bytes);
  char* const base = static_cast<char*>(room);
  Pixel* const held = reinterpret_cast<Pixel*>(base);
  Pixel* const strip = reinterpret_cast<Pixel*>(base + held_bytes);
  const Pixel** const rows = reinterpret_cast<const Pixel**>(base + held_bytes + strip_bytes);
  std::uint8_t* const spare = reinterpret_cast<std::uint8_t*>(rows + ring);  // for rows below the last
  std::int64_t known = 0;  // rows up to this one are in the ring
  for (std::int64_t y = 0; y < height; y += kRows) {
    std::uint8_t* places[kRows];
    for (int k = 0; k < kRows; ++k) {
      places[k] = y + k < height ? out + (y + k) * width * 3 : spare + k * width * 3;
      if (y + k >= height) continue;
      const std::int64_t first = down_firsts[y + k], end = first + down_taps;
      for (known = known < first ? first : known; known < end; ++known)
        widened(pixels + known * stride, w, held + (known % ring) * own);
      for (std::int64_t t = 0; t < down_taps; ++t) rows[t] = held + ((first + t) % ring) * own;
      summed(rows, down_weights + (y + k) * down_taps, down_taps, own, strip + k);
    }
    across(reinterpret_cast<const Wide*>(strip), across_firsts, across_weights, across_taps, width, places);
  }
  free(room);
  return 0;
}
