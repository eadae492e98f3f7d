export { type AppraisalInputs, Appraiser, factsOf, policyOf, recordPolicy, resultText } from './appraiser.ts';
export { type FilesIngested, type FilesOptions, ingestFolder } from './files.ts';
export { type Ingested, type IngestOptions, ingestService, type Progress } from './live.ts';
export { type Filing, readEvidenceFile, SessionVerifier } from './session.ts';
export { type HttpSourceOptions, httpSource, type ListedBoot, type LogSource } from './source.ts';
