#include <math.h>
#include <string.h>

#include "har_parts.h"

enum { order = AIOT_AR_ORDER, width = order + 1 };

/* Solves [A | b] by Gaussian elimination with partial pivoting. The result is all 0 if A is singular. */
static void solve(double matrix[order][width], double out[order]) {
  for (size_t i = 0; i < order; i++) out[i] = 0;
  for (size_t pivot = 0; pivot < order; pivot++) {
    size_t best = pivot;
    for (size_t row = pivot + 1; row < order; row++) {
      if (fabs(matrix[row][pivot]) > fabs(matrix[best][pivot])) best = row;
    }
    if (fabs(matrix[best][pivot]) < 1e-300) return;
    for (size_t column = 0; column < width; column++) {
      const double kept = matrix[pivot][column];
      matrix[pivot][column] = matrix[best][column];
      matrix[best][column] = kept;
    }
    for (size_t row = pivot + 1; row < order; row++) {
      const double factor = matrix[row][pivot] / matrix[pivot][pivot];
      for (size_t column = pivot; column < width; column++) matrix[row][column] -= factor * matrix[pivot][column];
    }
  }
  for (size_t row = order; row-- > 0;) {
    double sum = matrix[row][order];
    for (size_t column = row + 1; column < order; column++) sum -= matrix[row][column] * out[column];
    out[row] = sum / matrix[row][row];
  }
}

void aiot_yule_walker(const double *centred, size_t n, double out[AIOT_AR_ORDER]) {
  double r[order + 1], matrix[order][width];
  for (size_t lag = 0; lag <= order; lag++) {
    double sum = 0;
    for (size_t i = lag; i < n; i++) sum += centred[i] * centred[i - lag];
    r[lag] = sum / (double)(n - lag);
  }
  for (size_t row = 0; row < order; row++) {
    for (size_t column = row; column < order; column++) matrix[row][column] = matrix[column][row] = r[column - row];
    matrix[row][order] = r[row + 1];
  }
  solve(matrix, out);
}

void aiot_burg(const double *centred, size_t n, double *forward, double *backward, double out[AIOT_AR_ORDER]) {
  memcpy(forward, centred, n * sizeof(double));
  memcpy(backward, centred, n * sizeof(double));
  for (size_t i = 0; i < order; i++) out[i] = 0;
  double top = 0, bottom = 0, before[order];
  for (size_t i = 1; i < n; i++) {
    top += centred[i] * centred[i - 1];
    bottom += centred[i] * centred[i] + centred[i - 1] * centred[i - 1];
  }
  for (size_t m = 1; m <= order; m++) {
    if (bottom <= 0) return;
    const double reflection = 2 * top / bottom;
    memcpy(before, out, sizeof(before));
    for (size_t j = 0; j + 1 < m; j++) out[j] = before[j] - reflection * before[m - 2 - j];
    out[m - 1] = reflection;
    if (m == order) return;
    top = 0;
    bottom = 0;
    /*
     * Computes the errors of this order and, in the same pass, the sums for the next order, which pair each error with the
     * previous one.
     */
    double b = backward[m - 1], kept = 0;
    for (size_t i = m; i < n; i++) {
      const double f = forward[i], error = f - reflection * b, back = b - reflection * f;
      b = backward[i];
      forward[i] = error;
      backward[i] = back;
      if (i > m) {
        top += error * kept;
        bottom += error * error + kept * kept;
      }
      kept = back;
    }
  }
}
