// Answers that only this package gives; `wire.ts` has those of all faces.

/** What a reload came to. */
export interface ReloadResult {
  /** Whether the policies differ from those before. */
  changed: boolean;
  /** The revision that is in force now. */
  revision: string;
}

/** The status of Kubernetes' SubjectAccessReview. */
export interface AccessReviewStatus {
  allowed: boolean;
  denied?: boolean;
  reason?: string;
  evaluationError?: string;
}
