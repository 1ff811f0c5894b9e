package cli

// Code identifies a failure for people and scripts. Each has a paragraph in
// docs/errors.md.
type Code string

// The codes. Numbers are never reused.
const (
	CodeOther          Code = "XP001"
	CodeUsage          Code = "XP002"
	CodeNoSidecar      Code = "XP003"
	CodeWhichSidecar   Code = "XP004"
	CodeBadRevision    Code = "XP005"
	CodeNoRevision     Code = "XP006"
	CodeNoSource       Code = "XP007"
	CodeOpen           Code = "XP008"
	CodeBadFormat      Code = "XP009"
	CodeBroken         Code = "XP010"
	CodeNewer          Code = "XP011"
	CodeForbidden      Code = "XP012"
	CodeBatch          Code = "XP013"
	CodeWrite          Code = "XP014"
	CodeBadRules       Code = "XP015"
	CodeNoResource     Code = "XP016"
	CodePortInUse      Code = "XP020"
	CodeCertificate    Code = "XP021"
	CodeUpstream       Code = "XP022"
	CodeInsecureListen Code = "XP023"
	CodeStoreLocked    Code = "XP040"
	CodeStoreDamaged   Code = "XP041"
	CodeReplayEnvoy    Code = "XP070"

	CodeNoProxy         Code = "XP060"
	CodeDegraded        Code = "XP061"
	CodeOpenStore       Code = "XP062"
	CodeLowSpace        Code = "XP063"
	CodeNothingRecorded Code = "XP064"
	CodeGaps            Code = "XP065"
	CodeJudgeBehind     Code = "XP066"
	CodeClock           Code = "XP067"
)

// The exit statuses.
const (
	ExitOK          = 0
	ExitFound       = 1
	ExitError       = 2
	ExitUsage       = 64
	ExitData        = 65
	ExitUnreachable = 69
	ExitForbidden   = 77
	ExitInterrupted = 130
)

// exits gives the exit status of the codes that do not exit with ExitError.
var exits = map[Code]int{
	CodeUsage: ExitUsage, CodeBadRevision: ExitUsage,
	CodeBadFormat: ExitData, CodeBroken: ExitData, CodeNewer: ExitData, CodeBatch: ExitData, CodeBadRules: ExitData, CodeStoreDamaged: ExitData,
	CodeUpstream:  ExitUnreachable,
	CodeForbidden: ExitForbidden, CodeInsecureListen: ExitForbidden,
}

// Exit is the exit status that goes with c.
func (c Code) Exit() int {
	if e, ok := exits[c]; ok {
		return e
	}
	return ExitError
}
