// Show prints its own build, so that the test sees what the linker set.
package main

import (
	"fmt"

	"github.com/gometheus/gometheus/internal/common/buildinfo"
)

func main() {
	fmt.Println("show", buildinfo.Read())
}
