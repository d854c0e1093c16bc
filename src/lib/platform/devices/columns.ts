import { type Expression, type Selectable, type Term, testOf } from '../../fleet/selector.js';
import type { DeviceRecord } from './records.js';

/** A test of devices by their slots. */
interface SlotTest {
  /** Tests one device. */
  one(slot: number): boolean;
  /** Tests all devices at once: 1 for each slot that matches. A tenth of the time of as many calls of `one`. */
  all(): Uint8Array;
}

/** A selector in two parts, both of which a device must match. */
export interface Split {
  /** Answered by columns; null = every device matches. */
  test: SlotTest | null;
  /** Must be tested device by device; null = nothing is left. */
  rest: Expression | null;
}

/** How a column is made from devices. */
interface Source {
  /** Identifies the value; null = the device has none. */
  text(device: DeviceRecord): string | null;
  /** The properties that a selector's term reads. */
  sample(device: DeviceRecord): Partial<Selectable>;
}

const sources: Readonly<Record<string, Source>> = {
  type: { text: ({ type }) => type, sample: ({ type }) => ({ type }) },
  state: { text: ({ state }) => state, sample: ({ state }) => ({ state }) },
  group: {
    text: ({ groups }) => (groups.length === 0 ? null : groups.join('\0')),
    sample: ({ groups }) => ({ groups }),
  },
  model: {
    text({ reported }) {
      const model = reported?.model;
      return model ? `${model.name}@${model.version}` : null;
    },
    sample: ({ reported }) => ({ model: reported?.model ?? null }),
  },
  fw: {
    text: ({ reported }) => reported?.firmware?.version ?? null,
    sample: ({ reported }) => ({ firmware: reported?.firmware?.version ?? null }),
  },
};

function sourceOf(key: string): Source | null {
  if (Object.hasOwn(sources, key)) return sources[key] ?? null;
  if (!key.startsWith('tag.')) return null;
  const tag = key.slice('tag.'.length);
  return {
    text: ({ tags }) => (Object.hasOwn(tags, tag) ? (tags[tag] ?? null) : null),
    sample: ({ tags }) => ({ tags }),
  };
}

/** A device without any of the values that columns hold. */
const bare: Partial<Selectable> = { type: '', state: '', groups: [], model: null, firmware: null, tags: {} };

/** Columns in memory at a time, and columns made for one selector, because each visits all devices. */
const mostColumns = 64;
const mostNewColumns = 8;

/** A column with more different values, such as serial numbers, would need more memory than it saves time. */
const mostValues = 50_000;

/** One field of all devices. Each different value has a number, because a fleet has many devices, but few values. */
class Column {
  private codes: Int32Array;
  private readonly codeOf = new Map<string, number>();
  /** A device's properties for each code; those for code 0 are absent. */
  readonly samples: Partial<Selectable>[] = [bare];

  constructor(
    private readonly source: Source,
    devices: readonly (DeviceRecord | undefined)[],
  ) {
    this.codes = new Int32Array(devices.length);
    for (let slot = 0; slot < devices.length; slot++) {
      const device = devices[slot];
      if (device) this.codes[slot] = this.code(device);
      if (this.samples.length > mostValues) break;
    }
  }

  set(slot: number, device: DeviceRecord): void {
    if (slot >= this.codes.length) {
      const longer = new Int32Array(Math.max(1024, 2 * slot));
      longer.set(this.codes);
      this.codes = longer;
    }
    this.codes[slot] = this.code(device);
  }

  /** A term's result is computed once for each value. @param size number of slots */
  test(term: Term, size: number): SlotTest {
    const { codes, samples } = this;
    // Columns hold no times, so the time does not matter.
    const test = testOf(term, 0);
    const results = Uint8Array.from(samples, (sample) => (test(sample as Selectable) ? 1 : 0));
    return {
      one: (slot) => results[codes[slot]!] === 1,
      all() {
        const matches = new Uint8Array(size);
        const length = Math.min(size, codes.length);
        for (let slot = 0; slot < length; slot++) matches[slot] = results[codes[slot]!]!;
        return matches;
      },
    };
  }

  private code(device: DeviceRecord): number {
    const text = this.source.text(device);
    if (text === null) return 0;
    const known = this.codeOf.get(text);
    if (known !== undefined) return known;
    const code = this.samples.length;
    this.codeOf.set(text, code);
    this.samples.push({ ...bare, ...this.source.sample(device) });
    return code;
  }
}

/**
 * The fields of devices that selectors test, as columns, so that a selector does not visit each device. Names, boards and times are not held,
 * because they differ between all devices. Columns are made when a selector first needs them.
 */
export class DeviceColumns {
  private readonly columns = new Map<string, Column>();
  /** Keys with too many different values. */
  private readonly excluded = new Set<string>();
  /** Columns that may still be made for the current selector. */
  private left = 0;

  /**
   * @param devices the devices by slot; undefined = a free slot
   * @param tagged number of devices with each tag; tags of no device are absent
   */
  constructor(
    private readonly devices: readonly (DeviceRecord | undefined)[],
    private readonly tagged: ReadonlyMap<string, number>,
  ) {}

  /** Must be called when a device was added to a slot or has changed. */
  changed(slot: number): void {
    const device = this.devices[slot];
    if (!device) return;
    for (const [key, column] of this.columns) {
      column.set(slot, device);
      // Values that no device has any more are not removed one by one.
      if (column.samples.length > mostValues) this.exclude(key);
    }
  }

  /** The returned test is valid until a device changes. */
  split(expression: Expression): Split {
    if (expression.kind === 'all') return { test: null, rest: null };
    this.left = mostNewColumns;
    const whole = this.testOf(expression);
    if (whole) return { test: whole, rest: null };
    if (expression.kind !== 'and') return { test: null, rest: expression };
    const tests: SlotTest[] = [];
    const rest: Expression[] = [];
    for (const part of expression.of) {
      const test = this.testOf(part);
      if (test) tests.push(test);
      else rest.push(part);
    }
    return { test: tests.length > 0 ? every(tests) : null, rest: { kind: 'and', of: rest } };
  }

  /** Null if columns cannot answer the expression. */
  private testOf(expression: Expression): SlotTest | null {
    switch (expression.kind) {
      case 'all':
        return this.constant(true);
      case 'not': {
        const inner = this.testOf(expression.of);
        return inner && not(inner);
      }
      case 'and':
      case 'or': {
        const parts = expression.of.map((part) => this.testOf(part));
        const tests = parts.filter((part) => part !== null);
        if (tests.length < parts.length) return null;
        return expression.kind === 'and' ? every(tests) : some(tests);
      }
      case 'term': {
        const { key } = expression;
        if (key.startsWith('tag.') && !this.tagged.has(key.slice('tag.'.length))) {
          return this.constant(testOf(expression, 0)(bare as Selectable));
        }
        return this.column(key)?.test(expression, this.devices.length) ?? null;
      }
    }
  }

  private constant(result: boolean): SlotTest {
    return { one: () => result, all: () => new Uint8Array(this.devices.length).fill(result ? 1 : 0) };
  }

  private exclude(key: string): void {
    this.columns.delete(key);
    if (this.excluded.size >= mostColumns) this.excluded.clear();
    this.excluded.add(key);
  }

  private column(key: string): Column | null {
    const source = this.excluded.has(key) ? null : sourceOf(key);
    if (!source) return null;
    const known = this.columns.get(key);
    if (!known && this.left === 0) return null;
    if (!known) this.left--;
    // The columns used last are kept.
    this.columns.delete(key);
    const column = known ?? new Column(source, this.devices);
    this.columns.set(key, column);
    if (column.samples.length > mostValues) {
      this.exclude(key);
      return null;
    }
    for (const oldest of this.columns.keys()) {
      if (this.columns.size <= mostColumns) break;
      this.columns.delete(oldest);
    }
    return column;
  }
}

function not(test: SlotTest): SlotTest {
  return {
    one: (slot) => !test.one(slot),
    all() {
      const matches = test.all();
      for (let slot = 0; slot < matches.length; slot++) matches[slot] = 1 - matches[slot]!;
      return matches;
    },
  };
}

function every(tests: readonly SlotTest[]): SlotTest {
  return {
    one: (slot) => tests.every((test) => test.one(slot)),
    all() {
      const [matches, ...others] = tests.map((test) => test.all()) as [Uint8Array, ...Uint8Array[]];
      for (const other of others)
        for (let slot = 0; slot < matches.length; slot++) matches[slot] = matches[slot]! & other[slot]!;
      return matches;
    },
  };
}

function some(tests: readonly SlotTest[]): SlotTest {
  return {
    one: (slot) => tests.some((test) => test.one(slot)),
    all() {
      const [matches, ...others] = tests.map((test) => test.all()) as [Uint8Array, ...Uint8Array[]];
      for (const other of others)
        for (let slot = 0; slot < matches.length; slot++) matches[slot] = matches[slot]! | other[slot]!;
      return matches;
    },
  };
}
