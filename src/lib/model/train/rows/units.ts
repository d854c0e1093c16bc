/** Rows that stay together are a unit. Units have the order of their first rows. */
export interface Units {
  /** Of each row its unit. */
  of: Int32Array;
  count: number;
}

/** Rows whose names are equal. */
export function sameNames(names: readonly string[]): Units {
  const together = namesTogether(names.length);
  together.add(names);
  return together.units();
}

/** Rows whose numbers are equal. @param width numbers in a row */
export function sameRows(inputs: Float32Array, width: number): Units {
  const together = rowsTogether(inputs.length / width, width);
  together.add(inputs);
  return together.units();
}

/** Finds units by name, as rows come. @param rows of all pieces together */
export function namesTogether(rows: number) {
  const known = new Map<string, number>();
  const of = new Int32Array(rows);
  let row = 0;
  return {
    add(names: readonly string[]): void {
      for (const name of names) {
        const unit = known.get(name) ?? known.size;
        if (unit === known.size) known.set(name, unit);
        of[row++] = unit;
      }
    },
    units: (): Units => ({ of, count: known.size }),
    /** In the order of the units. */
    names: (): string[] => [...known.keys()],
  };
}

/**
 * Finds units by numbers, as rows come: equal bit by bit. Of a row 64 bits are kept, made of all its numbers: two different rows are
 * taken for equal once in 10⁷ tables of a million rows, and then merely stay on one side.
 * @param rows of all pieces together
 * @param width numbers in a row
 */
export function rowsTogether(rows: number, width: number) {
  const of = new Int32Array(rows);
  const [first, second] = [new Uint32Array(rows), new Uint32Array(rows)];
  // The first row of each unit, where its hash or the next free place is; twice as many places as rows, a power of two.
  const places = new Int32Array(2 ** Math.ceil(Math.log2(2 * rows + 2))).fill(-1);
  const mask = places.length - 1;
  let row = 0;
  let count = 0;
  return {
    add({ buffer, byteOffset, length }: Float32Array): void {
      const words = new Uint32Array(buffer, byteOffset, length);
      for (let from = 0; from < length; from += width, row++) {
        const hash = hashOf(words, from, width, 0x01000193, 15);
        const other = hashOf(words, from, width, 0x9e3779b1, 13);
        first[row] = hash;
        second[row] = other;
        let at = hash & mask;
        while (places[at]! >= 0 && (first[places[at]!] !== hash || second[places[at]!] !== other)) {
          at = (at + 1) & mask;
        }
        const same = places[at]!;
        if (same < 0) places[at] = row;
        of[row] = same < 0 ? count++ : of[same]!;
      }
    },
    units: (): Units => ({ of, count }),
  };
}

/**
 * FNV-1a by words, its upper bits mixed in: what lies in a float's upper bits must reach the lower ones. With another factor and another
 * shift, rows of equal hashes have different ones.
 */
function hashOf(words: Uint32Array, from: number, width: number, factor: number, shift: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < from + width; i++) {
    hash = Math.imul(hash ^ words[i]!, factor);
    hash ^= hash >>> shift;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** The rows of each unit. */
export function rowsOf({ of, count }: Units): number[][] {
  const rows = Array.from({ length: count }, (): number[] => []);
  of.forEach((unit, row) => {
    rows[unit]!.push(row);
  });
  return rows;
}
