import { ago } from '../../src/lib/core/figures.js';
import { moment, shortMoment, withZone } from '../app/text.js';

/** A time in the reader's locale. The exact time, with its zone, is shown on hover. */
export function When({ at, as = 'moment' }: { at: number; as?: 'moment' | 'short' | 'ago' }) {
  const exact = withZone(at);
  const text = as === 'ago' ? ago(at, Date.now()) : as === 'short' ? shortMoment(at) : moment(at);
  return (
    <time dateTime={exact} title={exact}>
      {text}
    </time>
  );
}
