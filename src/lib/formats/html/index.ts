/** What every report is made of: the frame of its page, its one style sheet, and its figures. */
export { type Bar, barChart, type StackChart, stackChart } from './bars.js';
export { confusionTable } from './confusion.js';
export { type Histogram, histogram } from './histogram.js';
export { Html, html, htmlTable } from './html.js';
export { lineChart, type Series } from './line-chart.js';
export { type ReportPage, reportPage } from './page.js';
export { checkList, factList, legend, type Paint, tileRow } from './parts.js';
export { reportStyle } from './style.js';
