import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { type ClassFigures, perClass, written } from './figures.js';

/** A confusion matrix, whose rows are the true classes. The deeper the color of a cell, the larger its share of the row. */
export function Confusion({
  classes,
  matrix,
  label = 'Confusion matrix',
}: {
  classes: readonly string[];
  matrix: readonly (readonly number[])[] | undefined;
  label?: string;
}) {
  if (!matrix || matrix.length === 0)
    return <p class="soft">No confusion matrix. Only classifiers have one.</p>;
  return (
    <Scroll label={label}>
      <table class="confusion">
        <caption class="soft">rows: true class; columns: predicted class</caption>
        <thead>
          <tr>
            <td />
            {classes.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {matrix.map((row, r) => {
            const all = row.reduce((sum, n) => sum + n, 0);
            return (
              <tr key={classes[r]}>
                <th scope="row">{classes[r]}</th>
                {row.map((n, c) => (
                  <td
                    key={classes[c]}
                    class={r === c ? 'right' : 'wrong'}
                    style={{ '--share': `${all === 0 ? 0 : Math.round((n / all) * 34)}%` }}
                  >
                    {n === 0 ? <span class="soft">0</span> : n.toLocaleString('en')}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}

const columns: Column<ClassFigures>[] = [
  { title: 'class', cell: ({ name }) => name, sort: ({ name }) => name },
  {
    title: 'windows',
    cell: ({ support }) => support.toLocaleString('en'),
    sort: ({ support }) => support,
    number: true,
  },
  {
    title: 'precision',
    cell: ({ precision }) => written(precision, 'score'),
    sort: ({ precision }) => precision,
    number: true,
  },
  {
    title: 'recall',
    cell: ({ recall }) => written(recall, 'score'),
    sort: ({ recall }) => recall,
    number: true,
  },
  { title: 'F1', cell: ({ f1 }) => written(f1, 'score'), sort: ({ f1 }) => f1, number: true },
];

/** Precision, recall and F1 of each class. */
export function PerClass({
  classes,
  matrix,
}: {
  classes: readonly string[];
  matrix: readonly (readonly number[])[];
}) {
  return (
    <Scroll label="Metrics per class">
      <ShortTable
        rows={perClass(classes, matrix)}
        columns={columns}
        keyOf={({ name }) => name}
        label="Metrics per class"
        name="classes"
      />
    </Scroll>
  );
}
