package buildinfo

var Merge = merge
