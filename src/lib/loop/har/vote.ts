import { mostFrequent } from '../vote/majority.js';

/** What Redis holds between labels: the last three, newest first, and what was last told. */
export interface LabelState {
  first: string | null;
  second: string | null;
  third: string | null;
  /** What was last told to Telegram. */
  previous: string | null;
}

export const noLabels: LabelState = { first: null, second: null, third: null, previous: null };

/** The original writes this word where it has nothing. */
const placeholder = 'placeholder';

/** A state as it was read: the original's own filler is nothing. */
export function cleaned(state: LabelState): LabelState {
  const clean = (text: string | null) =>
    text === placeholder || text === '' || text === 'None' ? null : text;
  return {
    first: clean(state.first),
    second: clean(state.second),
    third: clean(state.third),
    previous: clean(state.previous),
  };
}

/**
 * The majority of the last four labels, this one among them; null where two are equally frequent. Unlike the original it counts four
 * equal labels (there: an error, and nothing is told), and says nothing of labels that are not there yet (there: the word
 * `placeholder` goes out). The labels move on in either case.
 */
export function voteLabel(
  state: LabelState,
  label: string,
): { state: LabelState; winner: string | null; changed: boolean } {
  const labels = [label, state.first, state.second, state.third].filter((one) => one !== null);
  const winner = mostFrequent(labels);
  const changed = winner !== null && winner !== state.previous;
  return {
    state: {
      first: label,
      second: state.first,
      third: state.second,
      previous: changed ? winner : state.previous,
    },
    winner,
    changed,
  };
}
