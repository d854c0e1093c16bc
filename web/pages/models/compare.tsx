import type { ComponentChildren } from 'preact';
import type { ModelVersion } from '../../../src/lib/api/index.js';
import { at } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { shellWord, size, withZone } from '../../app/text.js';
import { Failure, Loading, Page, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Confusion } from './confusion.js';
import { figureOf, figures, written } from './figures.js';

interface Cell {
  text: string;
  /** Content of the cell, if it is not just the text. */
  shown?: ComponentChildren;
  /** Number to sort by; absent for text. */
  value?: number | null | undefined;
}

interface Row {
  title: string;
  a: Cell;
  b: Cell;
  /** The change from `a` to `b`. */
  difference: Cell;
  better?: boolean;
}

/** Compares two versions of a model side by side, with differences highlighted. */
export function Compare({ name, a, b }: { name: string; a: number; b: number }) {
  const place = (version: number) => at('GET /models/:name/versions/:version', { name, version });
  const one = useResource(place(a), { events: ['model.*'] });
  const other = useResource(place(b), { events: ['model.*'] });
  const error = one.error ?? other.error;
  const both = one.value && other.value ? ([one.value, other.value] as const) : null;
  const pull = (version: number) =>
    `aiot model pull ${shellWord(name)}@${version} --out ${shellWord(`${name}-${version}`)}`;
  return (
    <Page
      title={`${name}: @${a} and @${b}`}
      above={{ title: name, to: linkTo(['models', name]) }}
      command={`${pull(a)} && ${pull(b)}`}
    >
      {error && <Failure error={error} />}
      {!both && !error && <Loading />}
      {both && (
        <>
          <Scroll label="Differences">
            <ShortTable
              rows={rowsOf(...both)}
              columns={columnsOf(a, b)}
              keyOf={({ title }) => title}
              label="Differences"
              rowClass={(row) => (isSame(row) ? undefined : 'differs')}
            />
          </Scroll>
          <div class="beside">
            {both.map((version) => (
              <Section key={version.version} title={`Confusion matrix of @${version.version}`}>
                <Confusion
                  classes={version.classes}
                  matrix={version.metrics?.int8.confusion}
                  label={`Confusion matrix of @${version.version}`}
                />
              </Section>
            ))}
          </div>
        </>
      )}
    </Page>
  );
}

function columnsOf(a: number, b: number): Column<Row>[] {
  const version = (which: 'a' | 'b', number: number): Column<Row> => ({
    title: `@${number}`,
    cell: (row) => row[which].shown ?? row[which].text,
    sort: (row) => keyOf(row[which]),
    number: true,
  });
  return [
    { title: 'property', cell: ({ title }) => title, sort: ({ title }) => title },
    version('a', a),
    version('b', b),
    {
      title: 'change',
      cell: (row) =>
        isSame(row) ? (
          <span class="soft">same</span>
        ) : (
          <span class={row.better === undefined ? undefined : row.better ? 'good' : 'bad'}>
            {row.difference.text}
          </span>
        ),
      sort: (row) => (isSame(row) ? 0 : keyOf(row.difference)),
      number: true,
    },
  ];
}

function isSame({ a, b }: Row): boolean {
  return a.text === b.text;
}

function keyOf({ text, value }: Cell): string | number | null {
  return value === undefined ? text : value;
}

function rowsOf(a: ModelVersion, b: ModelVersion): Row[] {
  const plain = (title: string, of: (version: ModelVersion) => Cell): Row => ({
    title,
    a: of(a),
    b: of(b),
    difference: { text: 'differs' },
  });
  const count = (value: number | undefined, none: string): Cell =>
    value === undefined ? { text: none, value: null } : { text: value.toLocaleString('en'), value };
  const bytes = (title: string, of: (version: ModelVersion) => number | null): Row => {
    const [left, right] = [of(a), of(b)];
    const more = left === null || right === null ? null : right - left;
    return {
      title,
      a: { text: left === null ? '–' : size(left), value: left },
      b: { text: right === null ? '–' : size(right), value: right },
      difference: { text: more === null ? 'differs' : signed(more, size(Math.abs(more))), value: more },
      ...(more ? { better: more < 0 } : {}),
    };
  };
  const measured = figures.flatMap(({ key, title, format, less }): Row[] => {
    const [left, right] = [figureOf(a.metrics?.int8, key), figureOf(b.metrics?.int8, key)];
    if (left === undefined && right === undefined) return [];
    const more = left === undefined || right === undefined ? null : right - left;
    const points =
      more === null
        ? ''
        : format === 'share'
          ? `${(Math.abs(more) * 100).toFixed(1)} points`
          : written(Math.abs(more), format);
    return [
      {
        title,
        a: { text: written(left, format), value: left ?? null },
        b: { text: written(right, format), value: right ?? null },
        difference: { text: more === null ? 'differs' : signed(more, points), value: more },
        ...(more ? { better: less ? more < 0 : more > 0 } : {}),
      },
    ];
  });
  return [
    plain('version', ({ name, version }) => ({
      text: `@${version}`,
      shown: <a href={linkTo(['models', name, version])}>@{version}</a>,
    })),
    plain('stage', ({ stage }) => ({ text: stage })),
    ...measured,
    plain('windows evaluated', ({ metrics }) => count(metrics?.int8.windows, '–')),
    bytes('bundle', (version) => version.bytes),
    bytes('arena', ({ arenaBytes }) => arenaBytes),
    plain('data type', ({ mode }) => ({ text: mode })),
    plain('classes', ({ classes }) => ({ text: classes.join(', ') || '–' })),
    plain('dataset', ({ lineage }) => ({ text: lineage?.dataset.name ?? 'unknown' })),
    plain('dataset digest', ({ lineage }) => ({ text: lineage?.dataset.digest.slice(0, 19) ?? 'unknown' })),
    plain('recordings', ({ lineage }) => count(lineage?.dataset.recordings, 'unknown')),
    plain('pushed', ({ pushed }) => ({
      text: withZone(pushed),
      shown: <When at={pushed} />,
      value: pushed,
    })),
  ];
}

function signed(more: number, text: string): string {
  return `${more < 0 ? '−' : '+'}${text}`;
}
