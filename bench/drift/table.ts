// Detection and false-positive rates: the tables of docs/background/drift-detection.md.
//
//   npx tsx bench/drift/table.ts [--repeats N] [--of independent|wanderers|motors]
import { parseArgs } from 'node:util';
import {
  type Case,
  halves,
  independentCases,
  independentRows,
  motorCases,
  motors,
  type Rate,
  ratesOf,
  type Sample,
  wanderers,
} from './rates.js';

const { values } = parseArgs({
  options: { repeats: { type: 'string', default: '200' }, of: { type: 'string' } },
});
const repeats = Number(values.repeats);

type Pair = (repeat: number) => [Sample, Sample];

function table(cases: Case[], columns: { title: string; pair: Pair; cases?: Case[] }[]): void {
  const rates = columns.map(({ pair, cases: own = cases }) => ratesOf(own, repeats, pair));
  const cell = (column: Rate[], name: string) => {
    const one = column.find((rate) => rate.name === name);
    return one === undefined ? '–' : `${Math.round(one.told * 100)} %`;
  };
  console.log(`| change | ${columns.map(({ title }) => title).join(' | ')} |`);
  console.log(`| --- | ${columns.map(() => '--:').join(' | ')} |`);
  for (const { name } of cases)
    console.log(`| ${name} | ${rates.map((column) => cell(column, name)).join(' | ')} |`);
  const wrong = rates.map((column) => `${Math.round(Math.max(...column.map((rate) => rate.wrong)) * 100)} %`);
  console.log(`| maximum false positives in other columns | ${wrong.join(' | ')} |\n`);
}

const seeds = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

console.log(`${repeats} repeats each\n`);
if (values.of === undefined || values.of === 'independent')
  table(
    independentCases,
    [50, 200, 1000, 10_000].map((rows) => ({
      title: `${rows} rows`,
      pair: (repeat) => [independentRows(rows, 2 * repeat + 1), independentRows(rows, 2 * repeat + 2)],
    })),
  );
if (values.of === undefined || values.of === 'wanderers')
  table(independentCases.slice(0, 1), [
    { title: 'wandering, 160 s each', pair: (repeat) => wanderers(1001 + repeat, 160) },
  ]);
if (values.of === undefined || values.of === 'motors')
  table(motorCases, [
    { title: 'halves of one motor, 16 s each', pair: (repeat) => halves(repeat + 1, 16) },
    { title: 'halves of one motor, 160 s each', pair: (repeat) => halves(repeat + 1, 160) },
    {
      title: '5 motors against 5 others, 16 s each',
      pair: (repeat) => [motors(seeds(10 * repeat + 1, 5), 16), motors(seeds(10 * repeat + 6, 5), 16)],
    },
    {
      title: '20 motors against 20 others, 16 s each',
      pair: (repeat) => [motors(seeds(40 * repeat + 1, 20), 16), motors(seeds(40 * repeat + 21, 20), 16)],
    },
    {
      title: 'one motor against another, 16 s',
      pair: (repeat) => [motors([2 * repeat + 1], 16), motors([2 * repeat + 2], 16)],
    },
  ]);
