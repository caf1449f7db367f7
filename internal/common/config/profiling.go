package config

import "time"

// Profiling are the settings of the profiles that SIGUSR1 and SIGUSR2 write.
// Both programs embed it.
type Profiling struct {
	CPUProfileFile     Var[string]        `group:"Profiles" flag:"cpu-profile-file" env:"CPU_PROFILE_FILE" help:"Where SIGUSR1 writes a CPU profile."`
	CPUProfileDuration Var[time.Duration] `group:"Profiles" flag:"cpu-profile-duration" env:"CPU_PROFILE_DURATION" help:"How long the CPU profile takes."`
	MemProfileFile     Var[string]        `group:"Profiles" flag:"mem-profile-file" env:"MEM_PROFILE_FILE" help:"Where SIGUSR2 writes a heap profile."`
}

// DefaultProfiling has the defaults.
func DefaultProfiling() Profiling {
	return Profiling{
		CPUProfileFile:     Path("./cpu.pprof"),
		CPUProfileDuration: Duration(30*time.Second, time.Millisecond, 24*time.Hour),
		MemProfileFile:     Path("./mem.pprof"),
	}
}
