#!/usr/bin/env ruby
# frozen_string_literal: true

# ONCE runs this after it has restored /storage from a backup, before the application boots. It puts the snapshots of
# hooks/pre-backup into place. Without snapshots, the application was paused or stopped during the backup, and its
# database files are whole.
#
# Created by bin/rails generate hotswap:once.
require File.expand_path("config/application")
require "hotswap/rails/once"

Hotswap::Once.post_restore
