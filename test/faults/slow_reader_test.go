package faults

const frozenVar = "XDSPROXY_FAULTS_FROZEN"

func frozenClient(string) int { return 0 }
