#include "fixed_functions.h"

#include "aiot/fixed_point.h"

static int32_t times(int32_t a, int32_t b) {
  return aiot_doubling_high_multiply(a, b);
}

/* e^-(2^k) for k = -2 .. 4, in Q0.31. */
static const int32_t exponentials[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};

int32_t aiot_exponential(int32_t a, int integer_bits) {
  if (a == 0) return INT32_MAX;
  const int fraction_bits = 31 - integer_bits;
  const int32_t quarter = (int32_t)1 << (fraction_bits - 2);
  /* a = m - remainder with m in [-1/4, 0): a polynomial for m, one factor for each bit of the remainder. */
  const int32_t m = (int32_t)((uint32_t)a & (uint32_t)(quarter - 1)) - quarter;
  const int32_t x = aiot_saturating_shift_left(m, integer_bits) + (1 << 28);
  const int32_t x2 = times(x, x);
  const int32_t x3 = times(x2, x);
  const int32_t x4 = times(x2, x2);
  const int32_t cubic = times(aiot_rounding_shift_right(x4, 2) + x3, 715827883) + x2;
  int32_t result = 1895147668 + times(1895147668, x + aiot_rounding_shift_right(cubic, 1));
  const uint32_t remainder = (uint32_t)m - (uint32_t)a;
  for (int k = -2; k < integer_bits && k <= 4; k++)
    if (remainder >> (fraction_bits + k) & 1) result = times(result, exponentials[k + 2]);
  return result;
}

/* 1/(1 + a) in Q2.29: three steps of Newton's method. */
static int32_t half_denominator_inverse(int32_t a) {
  const int32_t half = (int32_t)(((int64_t)a + ((int64_t)1 << 31)) / 2);
  int32_t x = 1515870810 + times(half, -1010580540);
  for (int step = 0; step < 3; step++) {
    const int32_t error = (1 << 29) - times(half, x);
    x += aiot_saturating_shift_left(times(x, error), 2);
  }
  return x;
}

int32_t aiot_inverse_square_root(int32_t x, int *shift) {
  *shift = 0;
  if (x <= 1) return INT32_MAX;
  int down = 11;
  for (; x >= 1 << 29; down++) x /= 4;
  int bits = 0;
  while (x << bits < 1 << 30) bits++;
  const int pairs = bits / 2 - 1;
  down -= pairs;
  /* Five steps of Newton's method, with three integer bits. */
  const int32_t input = (x << 2 * pairs) >> 1;
  const int32_t half = aiot_rounding_shift_right(input, 1);
  const int32_t three_halves = (1 << 28) + (1 << 27);
  int32_t root = 1 << 28;
  for (int step = 0; step < 5; step++) {
    const int32_t cube = aiot_saturating_shift_left(times(times(root, root), root), 6);
    root = aiot_saturating_shift_left(times(three_halves, root) - times(half, cube), 3);
  }
  /* The square root of 2, halved, in Q0.31. */
  const int32_t result = times(root, 1518500250);
  if (down < 0) return (int32_t)((uint32_t)result << -down);
  *shift = -down;
  return result;
}

int32_t aiot_reciprocal_of_one_plus(int32_t a) {
  return aiot_saturating_shift_left(half_denominator_inverse(a), 1);
}

/* Number of bits by which x can be shifted left. */
static int headroom_of(int32_t x) {
  int bits = 0;
  while ((uint32_t)x << bits < (uint32_t)1 << 30) bits++;
  return bits;
}

/* The power of two whose quotient is closest to 1 is split off, and a rational function yields the logarithm of the rest. */
int32_t aiot_logarithm(int32_t x) {
  /* The square root of 1/2, and its square root, in Q0.31. */
  const int32_t half_root = 1518500250, quarter_root = 1805811301, quarter = 1 << 23;
  const int first = headroom_of(x), second = headroom_of(times(x, half_root));
  const int32_t a = aiot_saturating_shift_left(times(x << first, half_root), 1), b = aiot_saturating_shift_left(x, second);
  const int32_t power_a = (11 - first) * (1 << 25) + quarter, power_b = (12 - second) * (1 << 25) - quarter;
  const int32_t r = a < b ? a : b, power = power_a > power_b ? power_a : power_b;
  const int32_t p = (int32_t)(((int64_t)r + quarter_root + 1) / 2), q = 2 * (r - quarter_root), square = times(q, q);
  const int32_t above = times(q, r) + times(times(q, square), 117049297);
  const int32_t below = times(p, 1057819769 + q + times(127690142, square)) + times(638450708, q);
  const int32_t rest = times(aiot_rounding_shift_right(above, 6), aiot_reciprocal_of_one_plus(below));
  return aiot_saturating_shift_left(times(power, 1488522236) + rest, 1);
}

int32_t aiot_logistic(int32_t v) {
  if (v == 0) return 1 << 30;
  const int32_t positive = aiot_reciprocal_of_one_plus(aiot_exponential(v < 0 ? v : -v, 4));
  return v > 0 ? positive : INT32_MAX - positive;
}

/* (1 - e^-2v)/(1 + e^-2v). The bits of v, read as Q5.26, are the value 2v. */
int32_t aiot_tanh(int32_t v) {
  if (v == 0) return 0;
  const int32_t inverse = half_denominator_inverse(aiot_exponential(v < 0 ? v : -v, 5));
  const int32_t positive = aiot_saturating_shift_left(inverse - (1 << 29), 2);
  return v > 0 ? positive : -positive;
}

/* 65536 / (1 + e^-t) at t = i / 24, each value corrected by half the error of linear interpolation at the middle of its segment. */
static const uint16_t sigmoid_table[256] = {
    32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841, 39498, 40149, 40794, 41432, 42064, 42688,
    43304, 43912, 44511, 45102, 45683, 46255, 46817, 47369, 47911, 48443, 48964, 49475, 49975, 50464, 50942, 51409,
    51865, 52311, 52745, 53169, 53581, 53983, 54374, 54755, 55125, 55485, 55834, 56174, 56503, 56823, 57133, 57433,
    57724, 58007, 58280, 58544, 58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370, 60565, 60753, 60935, 61110,
    61279, 61441, 61599, 61750, 61896, 62036, 62172, 62302, 62428, 62549, 62666, 62778, 62886, 62990, 63090, 63186,
    63279, 63368, 63454, 63536, 63615, 63691, 63765, 63835, 63903, 63968, 64030, 64090, 64148, 64204, 64257, 64308,
    64357, 64405, 64450, 64494, 64536, 64576, 64614, 64652, 64687, 64721, 64754, 64786, 64816, 64845, 64873, 64900,
    64926, 64950, 64974, 64997, 65019, 65039, 65060, 65079, 65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208,
    65221, 65234, 65246, 65258, 65269, 65280, 65291, 65301, 65310, 65319, 65328, 65337, 65345, 65352, 65360, 65367,
    65374, 65381, 65387, 65393, 65399, 65404, 65410, 65415, 65420, 65425, 65429, 65433, 65438, 65442, 65445, 65449,
    65453, 65456, 65459, 65462, 65465, 65468, 65471, 65474, 65476, 65479, 65481, 65483, 65485, 65488, 65489, 65491,
    65493, 65495, 65497, 65498, 65500, 65501, 65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511, 65512, 65513,
    65514, 65515, 65516, 65517, 65517, 65518, 65519, 65520, 65520, 65521, 65522, 65522, 65523, 65523, 65524, 65524,
    65525, 65525, 65526, 65526, 65526, 65527, 65527, 65528, 65528, 65528, 65529, 65529, 65529, 65529, 65530, 65530,
    65530, 65530, 65531, 65531, 65531, 65531, 65531, 65532, 65532, 65532, 65532, 65532, 65532, 65533, 65533, 65533,
    65533, 65533, 65533, 65533, 65533, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65535,
};

int32_t aiot_logistic16(int32_t v) {
  const int32_t a = v < 0 ? -v : v, u = a >> 9;
  const int32_t g = u >= 255 ? 0x7fff * 1024 : sigmoid_table[u] * 512 + (a & 511) * (sigmoid_table[u + 1] - sigmoid_table[u]);
  return v >= 0 ? (g + 512) >> 10 : ((1 << 25) - g + 511) >> 10;
}

int32_t aiot_tanh16(int32_t v) {
  const int32_t a = v < 0 ? -v : v, u = a >> 8;
  const int32_t g = u >= 255 ? 0xffff * 256 : sigmoid_table[u] * 256 + (a & 255) * (sigmoid_table[u + 1] - sigmoid_table[u]);
  return v >= 0 ? (g - (1 << 23) + 128) >> 8 : ((1 << 23) - g + 127) >> 8;
}
