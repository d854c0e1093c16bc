#include "bands.h"

#include <string.h>

#include "room.h"
#include "turn.h"

bool aiot_bands_open(aiot_bands *bands, const aiot_fourier *fourier, double rate_hz, const double *edges_hz, size_t count, bool hann,
                     aiot_arena *arena) {
  const size_t n = fourier->n, bins = n / 2 + 1;
  *bands = (aiot_bands){.fourier = fourier, .rate_hz = rate_hz, .count = count};
  bands->band_of = aiot_room(arena, bins, 1);
  if (hann) bands->weight = aiot_doubles(arena, n);
  if (!bands->band_of || (hann && !bands->weight)) return false;
  for (size_t i = 0; hann && i < n; i++) bands->weight[i] = 0.5 - 0.5 * aiot_turn((double)i, (double)n).cos;
  bands->band_of[0] = -1;
  for (size_t k = 1; k < bins; k++) {
    const double hz = (double)k * rate_hz / (double)n;
    bands->band_of[k] = -1;
    for (size_t b = 0; b < count; b++) {
      if (hz > edges_hz[b] && hz <= edges_hz[b + 1]) bands->band_of[k] = (int8_t)b;
    }
  }
  return true;
}

aiot_band_power aiot_bands_of(const aiot_bands *bands, const double *signal, const aiot_moments *moments) {
  const aiot_fourier *f = bands->fourier;
  aiot_band_power out = {0};
  if (moments->flat) return out;
  for (size_t i = 0; i < f->n; i++) {
    const double centred = signal[i] - moments->mean;
    f->re[i] = bands->weight ? centred * bands->weight[i] : centred;
  }
  memset(f->im, 0, f->n * sizeof(double));
  aiot_fourier_run(f);
  double total = 0, strongest = 0;
  for (size_t k = 1; k <= f->n / 2; k++) {
    const int8_t band = bands->band_of[k];
    if (band < 0) continue;
    const double power = f->re[k] * f->re[k] + f->im[k] * f->im[k];
    out.share[band] += power;
    total += power;
    if (power > strongest) {
      strongest = power;
      out.peak_hz = (double)k * bands->rate_hz / (double)f->n;
    }
  }
  for (size_t b = 0; total > 0 && b < bands->count; b++) out.share[b] /= total;
  return out;
}
