import { table } from './text.js';

interface Judged {
  classes: string[];
  perClass: { class: string; support: number; precision: number; recall: number; f1: number }[];
  /** Counts [truth][answer]. */
  confusion: number[][];
}

/** Each class with its figures, and what it was taken for. */
export function classTable({ perClass, classes, confusion }: Judged, unit: string): string {
  return table(
    ['class', unit, 'precision', 'recall', 'F1', ...classes.map((name) => `→ ${name}`)],
    perClass.map(({ class: name, support, precision, recall, f1 }, c) => [
      name,
      support,
      precision.toFixed(3),
      recall.toFixed(3),
      f1.toFixed(3),
      ...(confusion[c] ?? []),
    ]),
  );
}
