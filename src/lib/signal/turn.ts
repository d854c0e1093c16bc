/**
 * Cosine and sine of a fraction of a whole turn, computed with only additions, multiplications and one division. Every machine rounds these
 * operations alike, whereas `Math.cos` differs from the firmware's C library. The angle is reduced to an eighth of a turn, followed by
 * Taylor's series: within 2e-16 of the true values.
 * @param numerator at least 0, exact @param denominator above 0, exact
 */
export function turn(numerator: number, denominator: number): { cos: number; sin: number } {
  const eighths = 8 * numerator;
  const eighth = Math.floor(eighths / denominator);
  // The angle is measured from the nearest axis: in an odd eighth, back from the next axis.
  const rest = eighth % 2 === 0 ? eighths - eighth * denominator : (eighth + 1) * denominator - eighths;
  const x = (Math.PI / 4) * (rest / denominator);
  const z = x * x;
  let near = cosTerms[0]!;
  for (let i = 1; i < cosTerms.length; i++) near = near * z + cosTerms[i]!;
  let far = sinTerms[0]!;
  for (let i = 1; i < sinTerms.length; i++) far = far * z + sinTerms[i]!;
  far *= x;
  switch (eighth % 8) {
    case 0:
      return { cos: near, sin: far };
    case 1:
      return { cos: far, sin: near };
    case 2:
      return { cos: -far, sin: near };
    case 3:
      return { cos: -near, sin: far };
    case 4:
      return { cos: -near, sin: -far };
    case 5:
      return { cos: -far, sin: -near };
    case 6:
      return { cos: far, sin: -near };
    default:
      return { cos: near, sin: -far };
  }
}

/** 1/k! with alternating signs, the highest power first. Each k! is exact, so each quotient is rounded only once. */
const cosTerms = [16, 14, 12, 10, 8, 6, 4, 2, 0].map((k) => (k % 4 === 0 ? 1 : -1) / factorial(k));
const sinTerms = [17, 15, 13, 11, 9, 7, 5, 3, 1].map((k) => (k % 4 === 1 ? 1 : -1) / factorial(k));

function factorial(k: number): number {
  return k < 2 ? 1 : k * factorial(k - 1);
}
