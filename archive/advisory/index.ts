export {
  ADVISORY_PROFILE,
  type Advisory,
  type AffectedBoot,
  type Impact,
  impactOf,
  parseAdvisory,
  type Reason,
  reasonsFor,
} from './advisory.ts';
