export { type CatalogueEntry, catalogue, type ErrorCode } from './catalogue.js';
export { hasCode, unless } from './codes.js';
export { AiotError, type ErrorDetails, explainCode, listCodes, systemCode } from './error.js';
