export { type Exported, type ExportOptions, exportBundle } from './bundle.ts';
export { exportJsonLines, type JsonLinesOptions } from './json-lines.ts';
export { offlineVerifierFiles } from './verifier-files.ts';
