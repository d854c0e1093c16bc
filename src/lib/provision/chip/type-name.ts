import { AiotError } from '../../core/index.js';
import { chipNames } from '../../formats/index.js';

/**
 * The type of a device as somebody typed it. Chips' names count without case; what is one slip from such a name is
 * refused, for it would quietly become a computer. Any other name is free. `strict` false: the chip is said elsewhere.
 * @throws AIOT_USAGE
 */
export function deviceType(text: string, strict = true): string {
  const lower = text.toLowerCase();
  const chip = chipNames.find((name) => name === lower);
  if (chip !== undefined) return chip;
  const near = strict ? chipNames.find((name) => isOneSlip(lower, name)) : undefined;
  if (near === undefined) return text;
  throw new AiotError('AIOT_USAGE', `no chip is called "${text}": did you mean ${near}?`, {
    next: `--type ${near}; a type of this very name needs its chip besides: --chip ${near}`,
  });
}

/** Whether one letter too many, too few or another one, or two that changed places, is all that differs. */
function isOneSlip(a: string, b: string): boolean {
  if (a === b || Math.abs(a.length - b.length) > 1) return a === b;
  let from = 0;
  while (from < a.length && a[from] === b[from]) from++;
  const [left, right] = [a.slice(from), b.slice(from)];
  return (
    left.slice(1) === right.slice(1) ||
    left.slice(1) === right ||
    left === right.slice(1) ||
    (left[0] === right[1] && left[1] === right[0] && left.slice(2) === right.slice(2))
  );
}
