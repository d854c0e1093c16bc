import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type uPlot from 'uplot';
import type { RecordingPoints } from '../../../src/lib/registry/index.js';
import { type ApiError, get } from '../../app/api.js';
import type { Extent } from '../../parts/plot.js';

export interface Points {
  fields: string[];
  samples: number;
  reduced: boolean;
  /** x in s, then the fields. */
  data: uPlot.AlignedData;
}

/** How soon what is seen is asked for, ms: of a turn of the wheel the last step counts. */
const settleMs = 120;
/** Rows of one answer: more than there are pixels. */
const most = 2000;

/** What is seen of a recording, as fine as the view needs. What was there stays until the finer is. */
export function usePoints(
  path: string,
  view: Extent | null,
): { value: Points | undefined; whole: Extent | undefined; error: ApiError | undefined } {
  const value = useSignal<Points | undefined>(undefined);
  const whole = useSignal<Extent | undefined>(undefined);
  const error = useSignal<ApiError | undefined>(undefined);
  useEffect(() => {
    value.value = undefined;
    whole.value = undefined;
    error.value = undefined;
  }, [path]);
  useEffect(() => {
    const controller = new AbortController();
    const read = async () => {
      const query = new URLSearchParams({ points: String(most) });
      if (view) {
        // A little more on each side, so that lines go on beyond the edge.
        const margin = (view[1] - view[0]) / 10;
        query.set('from', String((view[0] - margin) * 1000));
        query.set('to', String((view[1] + margin) * 1000));
      }
      try {
        const found = await get<RecordingPoints>(`${path}?${query}`, controller.signal);
        const xs = found.t.map((t) => t / 1000);
        const data = [xs, ...found.columns] as uPlot.AlignedData;
        value.value = { fields: found.fields, samples: found.samples, reduced: found.reduced, data };
        error.value = undefined;
        const [first = 0] = xs;
        const last = xs.at(-1) ?? first;
        if (!view) whole.value = last > first ? [first, last] : [first, first + 1];
      } catch (reason) {
        if (!controller.signal.aborted) error.value = reason as ApiError;
      }
    };
    const timer = setTimeout(read, view ? settleMs : 0);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [path, view?.[0], view?.[1]]);
  return { value: value.value, whole: whole.value, error: error.value };
}
