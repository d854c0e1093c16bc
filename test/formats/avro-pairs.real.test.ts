import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { type Random, seededRandom } from '../../src/lib/core/numbers.js';
import { incompatibilities, parseSchema } from '../../src/lib/formats/schemas/schema.js';
import { root } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';

const run = promisify(execFile);

interface Field {
  name: string;
  type: AvroType;
  default?: unknown;
  aliases?: string[];
}
interface Named {
  type: 'record' | 'enum' | 'fixed';
  name: string;
  aliases?: string[];
  fields?: Field[];
  symbols?: string[];
  default?: string;
  size?: number;
}
type Container = { type: 'array'; items: AvroType } | { type: 'map'; values: AvroType };
type AvroType = string | AvroType[] | Container | Named;
interface Pair {
  writer: Named;
  reader: Named;
}

const primitives = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'];
const defaults: Record<string, unknown> = {
  ...{ null: null, boolean: true, int: 1, long: 2, float: 1.5, double: 2.5, bytes: 'a', string: 's' },
};
/** Types that are likely to read the data of others. */
const wider: Record<string, string> = {
  ...{ int: 'long', long: 'double', float: 'double', string: 'bytes', bytes: 'string' },
};

/** Generates pairs of schemas: a writer's, and a variant of it. */
class Generator {
  private names = 0;

  constructor(private readonly random: Random) {}

  pair(): Pair {
    const writer: Named = { type: 'record', name: 'R', fields: this.fields(2) };
    return { writer, reader: this.changed(writer) as Named };
  }

  private below(count: number): number {
    return Math.floor(this.random() * count);
  }

  private one<T>(all: readonly T[]): T {
    return all[this.below(all.length)]!;
  }

  private type(depth: number): AvroType {
    const name = `N${this.names++}`;
    switch (this.below(depth > 0 ? 11 : 6)) {
      case 4:
        return { type: 'enum', name, symbols: ['A', 'B', 'C'].slice(0, 1 + this.below(3)) };
      case 5:
        return { type: 'fixed', name, size: 1 + this.below(3) };
      case 6:
        return { type: 'array', items: this.type(depth - 1) };
      case 7:
        return { type: 'map', values: this.type(depth - 1) };
      case 8:
        return ['null', this.one(primitives.slice(1))];
      case 9:
        return ['null', { type: 'enum', name, symbols: ['A', 'B'] }];
      case 10:
        return { type: 'record', name, fields: this.fields(depth - 1) };
      default:
        return this.one(primitives);
    }
  }

  private fields(depth: number): Field[] {
    return ['a', 'b', 'c']
      .filter(() => this.below(3) > 0)
      .map((name) => {
        const type = this.type(depth);
        const isSimple = typeof type === 'string' && this.below(2) === 0;
        return { name, type, ...(isSimple ? { default: defaults[type] } : {}) };
      });
  }

  private changed(type: AvroType): AvroType {
    if (typeof type === 'string') {
      const other = wider[type];
      return this.below(6) > 0 ? type : other !== undefined && this.below(3) > 0 ? other : this.type(1);
    }
    if (Array.isArray(type)) return this.below(5) === 0 ? type[1]! : type.map((each) => this.branch(each));
    if (type.type === 'array') return { ...type, items: this.changed(type.items) };
    if (type.type === 'map') return { ...type, values: this.changed(type.values) };
    return this.renamed(this.changedNamed(type));
  }

  /** A changed branch of a union, which is no union and not null. */
  private branch(type: AvroType): AvroType {
    if (typeof type !== 'string') return this.changed(type);
    return this.below(4) === 0 ? (wider[type] ?? type) : type;
  }

  private changedNamed(type: Named): Named {
    if (type.symbols) {
      const symbols = ['A', 'B', 'C', 'D'].filter(() => this.below(6) > 0);
      if (symbols.length === 0) symbols.push('E');
      return { ...type, symbols, ...(this.below(3) === 0 ? { default: symbols[0]! } : {}) };
    }
    if (type.size !== undefined) return this.below(5) === 0 ? { ...type, size: type.size + 1 } : type;
    const fields = (type.fields ?? [])
      .filter(() => this.below(8) > 0)
      .map((field): Field => {
        const { default: _, ...rest } = { ...field, type: this.changed(field.type) };
        const kept = JSON.stringify(rest.type) === JSON.stringify(field.type) ? field : rest;
        const name = `${field.name}2`;
        if (this.below(8) > 0) return kept;
        return { ...kept, name, ...(this.below(3) > 0 ? { aliases: [field.name] } : {}) };
      });
    if (this.below(4) === 0)
      fields.push({ name: 'z', type: 'int', ...(this.below(3) > 0 ? { default: 3 } : {}) });
    return { ...type, fields };
  }

  private renamed(type: Named): Named {
    if (this.below(8) > 0) return type;
    return {
      ...{ ...type, name: `${type.name}x` },
      ...(this.below(3) > 0 ? { aliases: [type.name] } : {}),
    };
  }
}

describeReal('schema-registry', 'pairs of Avro schemas', () => {
  it.each([7, 8, 9])(
    'are judged as fastavro reads data of one with the other (seed %i)',
    async (seed) => {
      const generator = new Generator(seededRandom(seed));
      const pairs = Array.from({ length: 400 }, () => generator.pair());
      const folder = await mkdtemp(join(tmpdir(), 'aiot-avro-'));
      try {
        const file = join(folder, 'pairs.json');
        await writeFile(file, JSON.stringify(pairs));
        const script = join(root, 'test/support/python/avro_pairs.py');
        const { stdout } = await run(python('schema-registry'), [script, file], {
          maxBuffer: 16 * 1024 ** 2,
        });
        const theirs = JSON.parse(stdout) as (string | null)[];
        const different: unknown[] = [];
        for (const [i, { writer, reader }] of pairs.entries()) {
          const parse = (schema: Named) =>
            parseSchema({ type: 'AVRO', text: JSON.stringify(schema), references: [] });
          const ours = incompatibilities('BACKWARD', await parse(reader), [
            { version: 1, schema: await parse(writer) },
          ]);
          if ((ours.length === 0) !== (theirs[i] === null))
            different.push({ writer, reader, ours, theirs: theirs[i] });
        }
        expect(JSON.stringify(different.slice(0, 3), null, 1)).toBe('[]');
        const readable = theirs.filter((reason) => reason === null).length;
        expect(readable).toBeGreaterThan(100);
        expect(readable).toBeLessThan(300);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    60_000,
  );
});
