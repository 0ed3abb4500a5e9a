// Depthwise convolution and its two gradients, for XLA on a CPU: four custom calls of the XLA FFI.
//
// Takes: float32 images [b, h, w, c], a kernel [kh, kw, c, 1] and, for the gradients, the cotangent [b, h', w', c], all
// dense and row by row; the attribute `geometry`, int64[4]: strides down and right, padding above and to the left.
// Gives: [b, h', w', c], or the gradient of the images, or that of the kernel, summed in float32. The clipped form also
// takes a shift [c] and the attribute `limits`, float32[2]: results are the sums plus the shift, cut off at both.
//
// One thread, because Corolla's CPU devices are a core each. Vectors run over the channels. A tile of seven pixels of a
// row is worked off at once: a value is loaded once for all taps that want it, and the sums stay in registers. XLA's own
// loops load two values for every product, and where channels are many read the taps from L2 for every pixel.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "xla/ffi/api/c_api.h"

namespace {

using Size = std::int64_t;

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
typedef float Wide __attribute__((vector_size(4 * kWidth)));
typedef float Narrow __attribute__((vector_size(16)));

constexpr int kTile = 7;                 // 112, 56, 28, 14 and 7 pixels are so many tiles, and no more registers are needed
constexpr int kMostRows = 16;            // of a kernel: `native.py` asks for no more
constexpr Size kBlockBytes = 128 << 10;  // of the input rows that one row of results reads: they stay in L2

template <class V>
inline V Load(const float* from) {
  V value;
  std::memcpy(&value, from, sizeof(V));  // arrays of any alignment
  return value;
}

template <class V>
inline void Store(float* to, V value) {
  std::memcpy(to, &value, sizeof(V));
}

// A row of a correlation: result q sums input column step * q + base + j times tap j, over `taps` values of j.
struct Line {
  Size results, result_stride;  // floats from one result to the next
  Size width, column;           // columns of the input, floats from one to the next
  Size base;
  Size taps, step, tap_stride;
  const float* shift = nullptr;  // of every channel, and the limits of a result: of clipped ones only
  float least = 0, most = 0;

  // Whether results q to q + count - 1 want columns outside of the input.
  bool Crosses(Size q, Size count) const {
    return step * q + base < 0 || step * (q + count - 1) + base + taps > width;
  }
  // The first and the last + 1 of the taps of result q that lie inside the input.
  void Reach(Size q, Size* first, Size* last) const {
    const Size begin = step * q + base;
    *first = std::min(taps, std::max<Size>(0, -begin));
    *last = std::max(*first, std::min(taps, width - begin));
  }
};

// The rows of input that a row of results sums over, each with its row of taps.
struct Rows {
  int count = 0;
  const float* input[kMostRows];
  const float* taps[kMostRows];

  void Take(const float* from, const float* with) {
    input[count] = from;
    taps[count++] = with;
  }
};

// Results -----------------------------------------------------------------------------------------------------------

// What a sum begins with and how it ends. C: the results are clipped.
template <class V, bool C>
inline V Begin(const Line& line, Size c) {
  return C ? Load<V>(line.shift + c) : V{};
}

template <bool C, class V>
inline V End(const Line& line, V sum) {
  if constexpr (!C) return sum;
  const V least = V{} + line.least, most = V{} + line.most;
  sum = sum < least ? least : sum;  // what is no number stays none
  return sum > most ? most : sum;
}

// One result, of any kernel.
template <class V, bool C>
void Single(const Line& line, const Rows& rows, Size c, Size q, float* out) {
  Size first, last;
  line.Reach(q, &first, &last);
  V sum = Begin<V, C>(line, c);
  for (int r = 0; r < rows.count; ++r) {
    const float* input = rows.input[r] + (line.step * q + line.base) * line.column + c;
    const float* taps = rows.taps[r] + c;
    for (Size j = first; j < last; ++j) sum += Load<V>(input + j * line.column) * Load<V>(taps + j * line.tap_stride);
  }
  Store<V>(out + q * line.result_stride + c, End<C>(line, sum));
}

// T results of K taps, S columns apart; G: some want columns outside of the input, which are zero.
template <class V, int K, int S, int T, bool G, bool C>
inline void Tile(const Line& line, const Rows& rows, Size c, Size q, float* out) {
  if constexpr (sizeof(V) == sizeof(float)) {  // the last one to three channels are not worth code of their own
    for (int t = 0; t < T; ++t) Single<V, C>(line, rows, c, q + t, out);
    return;
  }
  V sum[T];
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) sum[t] = Begin<V, C>(line, c);
  const Size begin = S * q + line.base;
  for (int r = 0; r < rows.count; ++r) {
    const float* input = rows.input[r] + begin * line.column + c;
    const float* taps = rows.taps[r] + c;
    V tap[K];
#pragma GCC unroll 16
    for (int j = 0; j < K; ++j) tap[j] = Load<V>(taps + j * line.tap_stride);
#pragma GCC unroll 32
    for (int m = 0; m < (T - 1) * S + K; ++m) {
      if (G && (begin + m < 0 || begin + m >= line.width)) continue;
      const V value = Load<V>(input + m * line.column);
#pragma GCC unroll 16
      for (int t = 0; t < T; ++t)
        if (m - t * S >= 0 && m - t * S < K) sum[t] += value * tap[m - t * S];
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) Store<V>(out + (q + t) * line.result_stride + c, End<C>(line, sum[t]));
}

// Runs a function of (a vector type's value, a channel) over channels begin to end - 1.
template <class Function>
inline void Channels(Size begin, Size end, Function function) {
  Size c = begin;
  for (; c + kWidth <= end; c += kWidth) function(Wide{}, c);
  for (; c + 4 <= end; c += 4) function(Narrow{}, c);
  for (; c < end; ++c) function(float{}, c);
}

// Tiles first, channels inside: a tile's pixels lie side by side in memory.
template <int K, int S, bool C>
void Results(const Line line, const Rows& rows, Size begin, Size end, float* out) {
  Size q = 0;
  if constexpr (K > 0) {
    for (; q + kTile <= line.results; q += kTile)
      if (line.Crosses(q, kTile))
        Channels(begin, end, [&](auto v, Size c) { Tile<decltype(v), K, S, kTile, true, C>(line, rows, c, q, out); });
      else
        Channels(begin, end, [&](auto v, Size c) { Tile<decltype(v), K, S, kTile, false, C>(line, rows, c, q, out); });
    for (; q + 3 <= line.results; q += 3)
      Channels(begin, end, [&](auto v, Size c) { Tile<decltype(v), K, S, 3, true, C>(line, rows, c, q, out); });
  }
  for (; q < line.results; ++q)
    Channels(begin, end, [&](auto v, Size c) { Single<decltype(v), C>(line, rows, c, q, out); });
}

// Gradient of the kernel --------------------------------------------------------------------------------------------

// One pixel of the cotangent, for any kernel: its products go to sums[j], j * line.tap_stride floats apart.
template <class V>
void Pixel(const Line& line, const Rows& rows, Size c, Size q, float* sums) {
  Size first, last;
  line.Reach(q, &first, &last);
  const float* input = rows.input[0] + (line.step * q + line.base) * line.column + c;
  const V value = Load<V>(rows.taps[0] + q * line.result_stride + c);
  for (Size j = first; j < last; ++j) {
    float* to = sums + j * line.tap_stride + c;
    Store<V>(to, Load<V>(to) + value * Load<V>(input + j * line.column));
  }
}

// Adds the products of kTile pixels to sum[j]: even and odd ones apart, so that no sum waits for the one before.
template <class V, int K, int S, bool G>
inline void Pixels(const Line& line, const Rows& rows, Size c, Size q, V (*sum)[2]) {
  const Size begin = S * q + line.base;
  const float* input = rows.input[0] + begin * line.column + c;
  const float* cotangent = rows.taps[0] + q * line.result_stride + c;
#pragma GCC unroll 32
  for (int m = 0; m < (kTile - 1) * S + K; ++m) {
    if (G && (begin + m < 0 || begin + m >= line.width)) continue;
    const V value = Load<V>(input + m * line.column);
#pragma GCC unroll 16
    for (int t = 0; t < kTile; ++t)
      if (m - t * S >= 0 && m - t * S < K)
        sum[m - t * S][t % 2] += value * Load<V>(cotangent + t * line.result_stride);
  }
}

// The products of a row of input with a row of the cotangent (in `rows.taps`), for each of the kernel's columns.
template <class V, int K, int S>
void Products(const Line& line, const Rows& rows, Size c, float* sums) {
  Size q = 0;
  if constexpr (K > 0 && sizeof(V) > sizeof(float)) {
    V sum[K][2] = {};
    for (; q + kTile <= line.results; q += kTile)
      if (line.Crosses(q, kTile))
        Pixels<V, K, S, true>(line, rows, c, q, sum);
      else
        Pixels<V, K, S, false>(line, rows, c, q, sum);
#pragma GCC unroll 16
    for (int j = 0; j < K; ++j) {
      float* to = sums + j * line.tap_stride + c;
      Store<V>(to, Load<V>(to) + (sum[j][0] + sum[j][1]));
    }
  }
  for (; q < line.results; ++q) Pixel<V>(line, rows, c, q, sums);
}

// Choosing ----------------------------------------------------------------------------------------------------------

template <bool C>
struct ForResults {
  template <int K, int S>
  static void Run(const Line& line, const Rows& rows, Size begin, Size end, float* out) {
    Results<K, S, C>(line, rows, begin, end, out);
  }
};

struct ForProducts {
  template <int K, int S>
  static void Run(const Line& line, const Rows& rows, Size begin, Size end, float* sums) {
    Channels(begin, end, [&](auto v, Size c) { Products<decltype(v), K, S>(line, rows, c, sums); });
  }
};

// Kernels of the usual widths and strides have loops of their own, and so have the parts of one that a stride of two
// cuts for its gradient (1, 2 and 4 taps); the others go pixel by pixel.
template <class For>
void Work(const Line& line, const Rows& rows, Size begin, Size end, float* out) {
  switch (line.taps < 8 ? 8 * line.step + line.taps : 0) {
    case 9: return For::template Run<1, 1>(line, rows, begin, end, out);
    case 10: return For::template Run<2, 1>(line, rows, begin, end, out);
    case 11: return For::template Run<3, 1>(line, rows, begin, end, out);
    case 12: return For::template Run<4, 1>(line, rows, begin, end, out);
    case 13: return For::template Run<5, 1>(line, rows, begin, end, out);
    case 15: return For::template Run<7, 1>(line, rows, begin, end, out);
    case 19: return For::template Run<3, 2>(line, rows, begin, end, out);
    case 21: return For::template Run<5, 2>(line, rows, begin, end, out);
    case 23: return For::template Run<7, 2>(line, rows, begin, end, out);
    default: return For::template Run<0, 0>(line, rows, begin, end, out);
  }
}

// The four calls ---------------------------------------------------------------------------------------------------

struct Shape {
  Size images, height, width, channels;    // of the images
  Size kernel_height, kernel_width;
  Size out_height, out_width;              // of the results
  Size down, right, above, left;           // strides and padding

  Size Block() const {
    const Size fit = kBlockBytes / (4 * kernel_height * std::max(width, out_width));
    return std::max<Size>(fit / kWidth * kWidth, kWidth);
  }
};

template <class Row>
void ForEachBlock(const Shape& s, Row row) {
  const Size block = s.Block();
  for (Size image = 0; image < s.images; ++image)
    for (Size c = 0; c < s.channels; c += block) row(image, c, std::min(c + block, s.channels));
}

struct Clip {
  const float* shift = nullptr;
  float least = 0, most = 0;
};

template <bool C>
void Forward(const Shape& s, const float* x, const float* kernel, float* y, Clip clip = {}) {
  const Size c = s.channels;
  const Line line{s.out_width,    c,       s.width, c,          -s.left,  s.kernel_width,
                  s.right, c, clip.shift, clip.least, clip.most};
  ForEachBlock(s, [&](Size image, Size begin, Size end) {
    for (Size row = 0; row < s.out_height; ++row) {
      Rows rows;
      for (Size i = 0; i < s.kernel_height; ++i) {
        const Size from = row * s.down - s.above + i;
        if (from < 0 || from >= s.height) continue;
        rows.Take(x + (image * s.height + from) * s.width * c, kernel + i * s.kernel_width * c);
      }
      Work<ForResults<C>>(line, rows, begin, end, y + (image * s.out_height + row) * s.out_width * c);
    }
  });
}

// Input columns right * q + phase take their gradients from result columns q + base + m, by the taps first - right * m.
void InputGradient(const Shape& s, const float* kernel, const float* cotangent, float* dx) {
  const Size c = s.channels;
  ForEachBlock(s, [&](Size image, Size begin, Size end) {
    for (Size row = 0; row < s.height; ++row)
      for (Size phase = 0; phase < std::min(s.right, s.width); ++phase) {
        const Size least = (phase + s.left) % s.right;
        const Size taps = least < s.kernel_width ? (s.kernel_width - least + s.right - 1) / s.right : 0;
        const Size base = (phase + s.left - least) / s.right - (taps - 1);
        const Size first = least + s.right * (taps - 1);
        const Line line{(s.width - phase + s.right - 1) / s.right, s.right * c, s.out_width, c, base, taps, 1,
                        -s.right * c};
        Rows rows;
        for (Size i = 0; i < s.kernel_height && taps > 0; ++i) {
          const Size spread = row + s.above - i;
          if (spread < 0 || spread % s.down || spread / s.down >= s.out_height) continue;
          rows.Take(cotangent + (image * s.out_height + spread / s.down) * s.out_width * c,
                    kernel + (i * s.kernel_width + first) * c);
        }
        Work<ForResults<false>>(line, rows, begin, end, dx + ((image * s.height + row) * s.width + phase) * c);
      }
  });
}

// Summed by row, then by image, then over all, so that no long sum is added up one by one.
void KernelGradient(const Shape& s, const float* x, const float* cotangent, float* dk) {
  const Size c = s.channels, size = s.kernel_height * s.kernel_width * c;
  const Line line{s.out_width, c, s.width, c, -s.left, s.kernel_width, s.right, c};
  const std::unique_ptr<float[]> sums(new float[size]);
  std::memset(dk, 0, size * sizeof(float));
  for (Size image = 0; image < s.images; ++image) {
    std::memset(sums.get(), 0, size * sizeof(float));
    Shape one = s;
    one.images = 1;
    ForEachBlock(one, [&](Size, Size begin, Size end) {
      for (Size row = 0; row < s.out_height; ++row)
        for (Size i = 0; i < s.kernel_height; ++i) {
          const Size from = row * s.down - s.above + i;
          if (from < 0 || from >= s.height) continue;
          Rows rows;
          rows.Take(x + (image * s.height + from) * s.width * c,
                    cotangent + (image * s.out_height + row) * s.out_width * c);
          Work<ForProducts>(line, rows, begin, end, sums.get() + i * s.kernel_width * c);
        }
    });
    for (Size i = 0; i < size; ++i) dk[i] += sums[i];
  }
}

// The FFI -----------------------------------------------------------------------------------------------------------

bool TellVersion(XLA_FFI_CallFrame* frame) {
  XLA_FFI_Extension_Base* extension = frame->extension_start;
  if (extension == nullptr || extension->type != XLA_FFI_Extension_Metadata) return false;
  XLA_FFI_Metadata* told = reinterpret_cast<XLA_FFI_Metadata_Extension*>(extension)->metadata;
  told->api_version.major_version = XLA_FFI_API_MAJOR;
  told->api_version.minor_version = XLA_FFI_API_MINOR;
  told->traits = 0;
  return true;
}

const XLA_FFI_Buffer& Operand(XLA_FFI_CallFrame* frame, int i) {
  return *static_cast<XLA_FFI_Buffer*>(frame->args.args[i]);
}

const XLA_FFI_Buffer& Answer(XLA_FFI_CallFrame* frame) {
  return *static_cast<XLA_FFI_Buffer*>(frame->rets.rets[0]);
}

float* Data(const XLA_FFI_Buffer& buffer) { return static_cast<float*>(buffer.data); }

// The values of an attribute that is an array; attributes are in alphabetical order.
const void* Attribute(XLA_FFI_CallFrame* frame, int i) {
  return static_cast<XLA_FFI_Array*>(frame->attrs.attrs[i])->data;
}

Shape ShapeOf(XLA_FFI_CallFrame* frame, const XLA_FFI_Buffer& x, const XLA_FFI_Buffer& kernel, const XLA_FFI_Buffer& y) {
  const auto* g = static_cast<const std::int64_t*>(Attribute(frame, 0));
  return {x.dims[0], x.dims[1], x.dims[2], x.dims[3], kernel.dims[0], kernel.dims[1], y.dims[1], y.dims[2],
          g[0],      g[1],      g[2],      g[3]};
}

}  // namespace

// Operands: x, kernel.
extern "C" XLA_FFI_Error* corolla_depthwise(XLA_FFI_CallFrame* frame) {
  if (TellVersion(frame)) return nullptr;
  const auto &x = Operand(frame, 0), &kernel = Operand(frame, 1), &y = Answer(frame);
  Forward<false>(ShapeOf(frame, x, kernel, y), Data(x), Data(kernel), Data(y));
  return nullptr;
}

// Operands: x, kernel, shift.
extern "C" XLA_FFI_Error* corolla_depthwise_clipped(XLA_FFI_CallFrame* frame) {
  if (TellVersion(frame)) return nullptr;
  const auto &x = Operand(frame, 0), &kernel = Operand(frame, 1), &shift = Operand(frame, 2), &y = Answer(frame);
  const auto* limits = static_cast<const float*>(Attribute(frame, 1));
  Forward<true>(ShapeOf(frame, x, kernel, y), Data(x), Data(kernel), Data(y), {Data(shift), limits[0], limits[1]});
  return nullptr;
}

// Operands: kernel, cotangent.
extern "C" XLA_FFI_Error* corolla_depthwise_input_gradient(XLA_FFI_CallFrame* frame) {
  if (TellVersion(frame)) return nullptr;
  const auto &kernel = Operand(frame, 0), &cotangent = Operand(frame, 1), &dx = Answer(frame);
  InputGradient(ShapeOf(frame, dx, kernel, cotangent), Data(kernel), Data(cotangent), Data(dx));
  return nullptr;
}

// Operands: x, cotangent.
extern "C" XLA_FFI_Error* corolla_depthwise_kernel_gradient(XLA_FFI_CallFrame* frame) {
  if (TellVersion(frame)) return nullptr;
  const auto &x = Operand(frame, 0), &cotangent = Operand(frame, 1), &dk = Answer(frame);
  KernelGradient(ShapeOf(frame, x, dk, cotangent), Data(x), Data(cotangent), Data(dk));
  return nullptr;
}
