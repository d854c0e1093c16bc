/** Navigation of a paged list to the next page, and back to the first. */
export function Pages({ first, next }: { first: string | null; next: string | null }) {
  if (first === null && next === null) return null;
  return (
    <nav class="turn" aria-label="Pages of the list">
      {first !== null && <a href={first}>First page</a>}
      {next !== null && <a href={next}>Next page</a>}
      <span class="soft">Sort and filter apply to this page of the list.</span>
    </nav>
  );
}
