#!/usr/bin/env ruby
# frozen_string_literal: true

# ONCE runs this before it copies /storage into a backup. The databases are in use, so a copy of their files may be
# damaged. This takes a consistent snapshot of each one; hooks/post-restore puts them back. If this fails, ONCE pauses
# the application while it copies the files.
#
# Created by bin/rails generate hotswap:once.
require File.expand_path("config/application")
require "hotswap/rails/once"

Hotswap::Once.pre_backup
