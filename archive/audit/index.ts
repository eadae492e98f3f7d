export { type AuditFigures, type AuditFinding, type AuditOptions, type AuditReport, audit } from './audit.ts';
export { type Crew, ThreadCrew, thisThread } from './crew.ts';
export { type AuditProgress, PASSES, type Pass, type PassFigures } from './passes.ts';
export { auditHtml, auditJson, placeOf, REPORT_PROFILE } from './report.ts';
