import { Html, html } from './html.js';
import { reportStyle } from './style.js';

export interface ReportPage {
  /** Of the window, and of the page where it has no heading of its own. */
  title: string;
  heading?: string;
  /** What the page tells, in a sentence or two. */
  lead: string;
  /** What has to be known before anything else: sentences above the heading. */
  first?: readonly Html[];
  sections: readonly (Html | null)[];
  /** Version of aiot. */
  aiot: string;
}

/** A page may load nothing and run nothing: a browser that heeds this refuses what a value could ever smuggle in. */
const policy = "default-src 'none'; style-src 'unsafe-inline'";

/** The frame of every report: one file, one style sheet, no script, nothing loaded from elsewhere. */
export function reportPage({ title, heading, lead, first, sections, aiot }: ReportPage): string {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${new Html(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><style>${new Html(reportStyle)}</style></head><body><main>
${first}<h1>${heading ?? title}</h1>
<p class="lead">${lead}</p>
${sections.flatMap((section) => (section === null ? [] : [section, '\n']))}<footer>Made by aiot ${aiot}.</footer>
</main></body></html>
`.text;
}
