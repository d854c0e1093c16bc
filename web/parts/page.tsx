import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import type { ApiError } from '../app/api.js';
import { Command } from './command.js';

/** Header and body of each page, with the title, the equivalent command line, and available actions. */
export function Page({
  title,
  above,
  command,
  actions,
  children,
}: {
  title: string;
  /** Name and link of the parent page. */
  above?: { title: string; to: string };
  command: string;
  actions?: ComponentChildren;
  children: ComponentChildren;
}) {
  useEffect(() => {
    document.title = `${title} · aiot`;
  }, [title]);
  return (
    <>
      <header class="page-head">
        <div class="page-title">
          {above && (
            <a class="above" href={above.to}>
              {above.title}
            </a>
          )}
          <h1>{title}</h1>
        </div>
        {actions && <div class="actions">{actions}</div>}
        <Command line={command} />
      </header>
      {children}
    </>
  );
}

/** An error with its suggested fix. */
export function Failure({ error }: { error: ApiError }) {
  return (
    <div class="failure" role="alert">
      <p>
        <strong>{error.message}</strong> <span class="soft">{error.code}</span>
      </p>
      {error.next &&
        (/^aiot /.test(error.next) ? <Command line={error.next} label="Next step" /> : <p>{error.next}</p>)}
    </div>
  );
}

/** A notice that there are no entries yet, with the command that creates the first one. */
export function Empty({
  title,
  children,
  command,
}: {
  title: string;
  children?: ComponentChildren;
  command: string;
}) {
  return (
    <section class="empty">
      <h2>{title}</h2>
      {children}
      <Command line={command} label="Next step" />
    </section>
  );
}

/** Loading indicator. It appears only after a moment, to avoid flicker. */
export function Loading() {
  return (
    <p class="loading" role="status">
      Loading …
    </p>
  );
}

export function Section({
  title,
  children,
  note,
}: {
  title: string;
  children: ComponentChildren;
  note?: ComponentChildren;
}) {
  return (
    <section class="section">
      <h2>
        {title}
        {note !== undefined && <span class="note">{note}</span>}
      </h2>
      {children}
    </section>
  );
}

/** A number and its unit. */
export function Tile({ value, label, to }: { value: ComponentChildren; label: string; to?: string }) {
  const inside = (
    <>
      <b>{value}</b>
      <span>{label}</span>
    </>
  );
  return to === undefined ? (
    <div class="tile">{inside}</div>
  ) : (
    <a class="tile" href={to}>
      {inside}
    </a>
  );
}

/** Facts as names and values. */
export function Facts({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
