/* What a round costs at least: the sums of benches/cohort.py and normal noise on each, in plain C with OpenMP.

   Noise is Box-Muller on xoshiro256++: fast, and no secret, which noise that protects somebody would have to be. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline uint64_t next(uint64_t *s) {
    uint64_t result = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t; s[3] = rotl(s[3], 45);
    return result;
}

/* total[length] = sum over institutions of (exact sums + rounded noise of standard deviation `stddev`). */
void dp_round(const uint8_t *cells, const uint8_t *bad, const int64_t *offsets, int64_t institutions, int64_t features,
              const int32_t *starts, const int32_t *weights, const int32_t *places, int64_t n_cells, int32_t intercept,
              int64_t intercept_place, const int16_t *residuals, int64_t limit, int64_t length, double stddev,
              uint64_t seed, int64_t *total) {
    memset(total, 0, 8 * length);
#pragma omp parallel
    {
        int64_t *sums = malloc(8 * length), *mine = calloc(length, 8), *by_cell = malloc(8 * n_cells);
#pragma omp for schedule(dynamic, 32)
        for (int64_t i = 0; i < institutions; i++) {
            memset(sums, 0, 8 * length);
            memset(by_cell, 0, 8 * n_cells);
            for (int64_t r = offsets[i]; r < offsets[i + 1]; r++) {
                const uint8_t *own = cells + r * features;
                int64_t margin = intercept;
                for (int64_t j = 0; j < features; j++) margin += weights[starts[j] + own[j]];
                margin = margin > limit ? limit : margin < -limit ? -limit : margin;
                int64_t q = residuals[bad[r] * (2 * limit + 1) + margin + limit];
                for (int64_t j = 0; j < features; j++) by_cell[starts[j] + own[j]] += q;
                sums[intercept_place] += q;
            }
            for (int64_t c = 0; c < n_cells; c++) sums[places[c]] += by_cell[c];
            uint64_t state[4] = {seed + i, seed ^ 0x9e3779b97f4a7c15ULL, 2 * i + 1, seed * 3 + 7};
            for (int k = 0; k < 16; k++) next(state);
            for (int64_t k = 0; stddev > 0 && k < length; k += 2) {
                double u = ((next(state) >> 11) + 1) * 0x1p-53, v = (next(state) >> 11) * 0x1p-53;
                double radius = stddev * sqrt(-2 * log(u)), angle = 6.283185307179586 * v;
                sums[k] += llrint(radius * cos(angle));
                if (k + 1 < length) sums[k + 1] += llrint(radius * sin(angle));
            }
            for (int64_t k = 0; k < length; k++) mine[k] += sums[k];
        }
#pragma omp critical
        for (int64_t k = 0; k < length; k++) total[k] += mine[k];
        free(sums); free(mine); free(by_cell);
    }
}
