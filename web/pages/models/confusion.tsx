import { Scroll } from '../../parts/scroll.js';
import { perClass, written } from './figures.js';

/** A confusion matrix: rows are the truth. The deeper a cell, the greater its share of the row. */
export function Confusion({
  classes,
  matrix,
  label = 'Confusion matrix',
}: {
  classes: readonly string[];
  matrix: readonly (readonly number[])[] | undefined;
  label?: string;
}) {
  if (!matrix || matrix.length === 0) return <p class="soft">None was stored: it is no classifier.</p>;
  return (
    <Scroll label={label}>
      <table class="confusion">
        <caption class="soft">rows are the truth, columns the answer</caption>
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

/** Precision, recall and F1 of each class. */
export function PerClass({
  classes,
  matrix,
}: {
  classes: readonly string[];
  matrix: readonly (readonly number[])[];
}) {
  return (
    <Scroll label="Figures of each class">
      <table class="plain-table">
        <thead>
          <tr>
            <th scope="col">class</th>
            {['windows', 'precision', 'recall', 'F1'].map((title) => (
              <th key={title} scope="col" class="number">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {perClass(classes, matrix).map(({ name, support, precision, recall, f1 }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{support.toLocaleString('en')}</td>
              <td class="number">{written(precision, true)}</td>
              <td class="number">{written(recall, true)}</td>
              <td class="number">{written(f1, true)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
