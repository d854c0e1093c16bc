/** Width of an entry's color with the space before its label, and height of a row, CSS px. */
export const keyWidth = 21;
export const rowHeight = 22;
/** Space to the left and right of a row, between entries, and above and below the legend, CSS px. */
const [left, right, gap, padding] = [56, 10, 18, 4];

interface Place {
  /** Left edge of the entry, and top edge of its row in the legend, CSS px. */
  left: number;
  top: number;
  /** Width of the label, which is at most that of a row, CSS px. */
  width: number;
}

/** Places of a legend's entries, in as many rows as they need. @param widths of the labels, CSS px */
export function legendPlaces(widths: readonly number[], legendWidth: number): Place[] {
  const end = legendWidth - right;
  const longest = Math.max(1, end - left - keyWidth);
  let [x, top] = [left, padding];
  return widths.map((needed) => {
    const width = Math.min(needed, longest);
    if (x > left && x + keyWidth + width > end) {
      x = left;
      top += rowHeight;
    }
    const place = { left: x, top, width };
    x += keyWidth + width + gap;
    return place;
  });
}

/** Height of the legend, CSS px. */
export function legendHeight(places: readonly Place[]): number {
  return (places.at(-1)?.top ?? padding) + rowHeight + padding;
}
