"""What servers add to ActivityStreams, by the software or the proposal it comes from. All of it is in `apcore.vocab`, too."""
